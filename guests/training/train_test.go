package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/embed/lora"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

var worker = sdk.WorkerFunc(Train)

var adapterColumns = []string{"id", "task_id", "base_model", "dimension", "rank", "a", "b", "metrics", "seed", "examples", "held_out", "digest", "created_at"}

const (
	idAt, taskAt, baseAt, dimAt, rankAt, aAt, bAt, metricsAt, seedAt, examplesAt, heldAt, digestAt = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
)

func anchor(i int) string {
	things := []string{"whale", "bread", "engine", "garden", "senate", "violin", "winter", "doctor", "market", "island"}
	return fmt.Sprintf("about the %s and the %s of %d", things[i%10], things[i/10%10], i)
}

func positive(i int) string {
	things := []string{"harpoons and blubber", "flour and yeast", "pistons and steam", "roses and soil", "votes and laws",
		"strings and bows", "snow and ice", "nurses and wards", "prices and goods", "beaches and palms"}
	return fmt.Sprintf("there are %s, %s and number %d", things[i%10], things[i/10%10], i)
}

// world has n examples, and an embedding worker that gives what ask says, or is
// not there.
func world(t *testing.T, n int, ask func(params map[string]any) (any, error)) (*sdktest.Host, *sdktest.Table) {
	t.Helper()
	h := sdktest.New(t)
	table := h.Table("primary", "training_examples", []string{"id", "anchor", "positive"}, "id")
	for i := range n {
		table.Insert(int64(i), anchor(i), positive(i))
	}
	h.Table("primary", adapters, adapterColumns, "id")
	h.Table("primary", checkpoints, []string{"task_id", "digest", "epoch", "state", "updated_at"}, "task_id")
	if ask != nil {
		h.Command(commandEmbed, ask)
	}
	return h, table
}

// embedder is an embedding worker that reads the adapter as the real one does.
func embedder(t *testing.T, h **sdktest.Host) func(map[string]any) (any, error) {
	return func(params map[string]any) (any, error) {
		id, _ := strings.CutPrefix(params["model"].(string), modelPrefix)
		for _, row := range (*h).Rows("primary", adapters) {
			if row[idAt] != id {
				continue
			}
			m, err := embed.DecodeAdapter(int(row[rankAt].(int64)), embed.Dim, row[aAt].([]byte), row[bAt].([]byte))
			if err != nil {
				return nil, err
			}
			var vectors []any
			for _, text := range params["texts"].([]any) {
				z := make([]float32, embed.Dim)
				if !m.Apply(z, embed.Text(text.(string))) {
					t.Errorf("no vector of %q", text)
				}
				vectors = append(vectors, embed.AppendVector(nil, z))
			}
			return map[string]any{"model": "x", "dimension": int64(embed.Dim), "vectors": vectors}, nil
		}
		return nil, abi.Errorf(abi.InvalidArgument, "no adapter %q", id)
	}
}

func payload(more map[string]any) map[string]any {
	p := map[string]any{"batch_size": 16, "rank": 4, "epochs": 4, "learning_rate": 0.005}
	maps.Copy(p, more)
	return p
}

func run(t *testing.T, h *sdktest.Host, task sdktest.Task) map[string]any {
	t.Helper()
	res, err := h.Run(worker, task)
	if err != nil {
		t.Fatal(err)
	}
	if res.OpenCursors != 0 {
		t.Errorf("%d queries were left open", res.OpenCursors)
	}
	return res.Value.(map[string]any)
}

func TestTrain(t *testing.T) {
	t.Parallel()
	var h *sdktest.Host
	h, table := world(t, 200, nil)
	h.Command(commandEmbed, embedder(t, &h))
	table.Insert("null", nil, "x")
	table.Insert("empty", "a", "")
	table.Insert("number", int64(3), "x")
	table.Insert("blob", "x", []byte("x"))
	table.Insert("long", strings.Repeat("a long text ", 100_000), "another")
	table.Insert("bad", "no \xff UTF-8", "another one")
	got := run(t, h, sdktest.TaskOf("training", payload(map[string]any{"adapter": "things", "seed": 7})))
	for name, want := range map[string]any{
		"adapter": "things", "model": "static+lora:things", "base_model": embed.Model, "dimension": int64(embed.Dim), "rank": int64(4),
		"seed": int64(7), "epochs": int64(4), "rows": int64(206), "empty": int64(2), "not_text": int64(2), "cut": int64(1), "invalid_utf8": int64(1),
		"test": "equal", "continued_from": int64(0), "anew": false,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	train, held := got["examples"].(int64), got["held_out"].(int64)
	if train+held != 202 || held < 20 || held > 60 {
		t.Errorf("%d examples to train with, %d held out", train, held)
	}
	if before, after := got["mrr_before"].(float64), got["mrr_after"].(float64); after <= before {
		t.Errorf("MRR was %v and is %v", before, after)
	}
	var losses []float64
	for i, e := range h.Events(eventProgress) {
		if e.Data["epoch"] != int64(i+1) || e.Data["epochs"] != int64(4) {
			t.Errorf("event %d: %v", i, e.Data)
		}
		losses = append(losses, e.Data["loss"].(float64))
	}
	if len(losses) != 4 || losses[3] >= losses[0] || losses[3] != got["train_loss"] {
		t.Errorf("losses %v, in the end %v", losses, got["train_loss"])
	}
	if c := h.Events(eventComplete); len(c) != 1 || c[0].Data["mrr_after"] != got["mrr_after"] {
		t.Errorf("complete: %v", c)
	}
	rows := h.Rows("primary", adapters)
	if len(rows) != 1 || rows[0][idAt] != "things" || rows[0][taskAt] != "task-1" || rows[0][baseAt] != embed.Model || rows[0][dimAt] != int64(embed.Dim) ||
		rows[0][seedAt] != int64(7) || rows[0][examplesAt] != train || rows[0][heldAt] != held || !strings.Contains(rows[0][metricsAt].(string), `"before":{"mrr":`) {
		t.Errorf("adapters: %v", rows)
	}
	if left := h.Rows("primary", checkpoints); len(left) != 0 {
		t.Errorf("checkpoints are left: %d", len(left))
	}
	progress := h.ProgressCalls()
	if last := progress[len(progress)-1]; last.Done != 4 || last.Total != 4 {
		t.Errorf("the last progress is %+v", last)
	}
}

func TestOtherNamesAndConfig(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	mails := h.Table("live", "mails", []string{"uid", "subject", "body"}, "uid")
	for i := range 120 {
		mails.Insert(fmt.Sprintf("mail %03d", i), anchor(i), positive(i))
	}
	h.Table("models", adapters, adapterColumns, "id")
	h.Table("models", checkpoints, []string{"task_id", "digest", "epoch", "state", "updated_at"}, "task_id")
	h.Config(map[string]any{"training.batchSize": 20})
	task := sdktest.TaskOf("training", map[string]any{
		"collection": "mails", "key": "uid", "anchor_column": "subject", "positive_column": "body", "limit": 100, "epochs": 1,
	})
	task.Handles = map[string]string{"source": "live", "adapters": "models"}
	got := run(t, h, task)
	if got["rows"] != int64(100) || got["adapter"] != "task-task-1" || got["test"] != "untested" || !strings.Contains(got["untested"].(string), "nobody provides") {
		t.Errorf("got %v", got)
	}
	if rows := h.Rows("models", adapters); len(rows) != 1 || !strings.Contains(rows[0][metricsAt].(string), `"batch_size":20`) {
		t.Errorf("adapters: %v", rows)
	}
}

func TestVerification(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer any
		err    error
		code   abi.Code
		want   string
	}{
		{"not granted", nil, abi.Errorf(abi.NotGranted, "not granted"), abi.OK, "embedding/embed: not granted"},
		{"cannot read adapters", nil, abi.Errorf(abi.UnknownCollection, "no lora_adapters"), abi.OK, "no lora_adapters"},
		{"a dry run", nil, nil, abi.OK, "dry run"},
		{"refused", nil, abi.Errorf(abi.InvalidArgument, "no such adapter"), abi.InvalidArgument, "no such adapter"},
		{"away", nil, abi.Errorf(abi.Unavailable, "busy"), abi.Unavailable, "busy"},
		{"too few", map[string]any{"vectors": []any{nil}}, nil, abi.Failed, "1 vectors for 7 texts"},
		{"others", map[string]any{"vectors": []any{embed.Append(nil, "a"), nil, nil, nil, nil, nil, nil}}, nil, abi.Permanent, "another vector"},
		{"garbage", "hello", nil, abi.Failed, "0 vectors"},
	} {
		h, _ := world(t, 60, func(map[string]any) (any, error) { return test.answer, test.err })
		res, err := h.Run(worker, sdktest.TaskOf("training", payload(map[string]any{"epochs": 1})))
		text := ""
		if err == nil {
			text = fmt.Sprint(res.Value.(map[string]any)["untested"])
		} else {
			text = abi.MessageOf(err)
		}
		if abi.CodeOf(err) != test.code || !strings.Contains(text, test.want) {
			t.Errorf("%s: got %v, %v, want %q", test.name, err, text, test.want)
		}
		if rows := h.Rows("primary", adapters); len(rows) != 1 {
			t.Errorf("%s: %d adapters", test.name, len(rows))
		}
	}
}

// A task that is killed after any of its calls, and run again, comes to the same
// adapter, bit for bit, to one row of it, and to each event once.
func TestKilledAfterEveryCall(t *testing.T) {
	t.Parallel()
	task := sdktest.TaskOf("training", payload(map[string]any{"epochs": 3}))
	var whole *sdktest.Host
	whole, _ = world(t, 70, nil)
	whole.Command(commandEmbed, embedder(t, &whole))
	summary := run(t, whole, task)
	want := whole.Rows("primary", adapters)[0]
	continued := map[any]int{}
	for n := 0; ; n++ {
		var h *sdktest.Host
		h, _ = world(t, 70, nil)
		h.Command(commandEmbed, embedder(t, &h))
		h.KillAfter(n)
		_, err := h.Run(worker, task)
		completed := err == nil
		if err != nil && !errors.Is(err, abi.Interrupted) {
			t.Fatalf("killed after call %d: %v", n, err)
		}
		if !completed {
			again := task
			again.Attempt = 2
			got := run(t, h, again)
			continued[got["continued_from"]]++
			for _, name := range []string{"mrr_after", "loss_after", "train_loss", "mrr_before", "examples"} {
				if got[name] != summary[name] {
					t.Errorf("killed after call %d: %s is %v, want %v", n, name, got[name], summary[name])
				}
			}
		}
		rows := h.Rows("primary", adapters)
		if len(rows) != 1 || !bytes.Equal(rows[0][aAt].([]byte), want[aAt].([]byte)) || !bytes.Equal(rows[0][bAt].([]byte), want[bAt].([]byte)) || rows[0][metricsAt] != want[metricsAt] {
			t.Fatalf("killed after call %d: %d adapters, or another one", n, len(rows))
		}
		if p, c := len(h.Events(eventProgress)), len(h.Events(eventComplete)); p != 3 || c != 1 || len(h.Rows("primary", checkpoints)) != 0 {
			t.Fatalf("killed after call %d: %d progress events and %d complete, want 3 and 1", n, p, c)
		}
		if completed {
			if n < 30 || continued[int64(1)] == 0 || continued[int64(2)] == 0 {
				t.Fatalf("%d calls; went on behind these epochs: %v", n, continued)
			}
			return
		}
	}
}

// killAt runs a task until it has saved the checkpoint of an epoch.
func killAt(t *testing.T, h *sdktest.Host, task sdktest.Task, epoch int) {
	t.Helper()
	for n := 10; ; n++ {
		h.KillAfter(n)
		if _, err := h.Run(worker, task); !errors.Is(err, abi.Interrupted) {
			t.Fatalf("killed after call %d: %v", n, err)
		}
		if rows := h.Rows("primary", checkpoints); len(rows) == 1 && rows[0][2] == int64(epoch) {
			return
		}
	}
}

func TestExamplesThatChangeMeanwhile(t *testing.T) {
	t.Parallel()
	h, table := world(t, 70, nil)
	task := sdktest.TaskOf("training", payload(nil))
	killAt(t, h, task, 2)
	table.Insert(int64(3), "another", "text")
	got := run(t, h, task)
	if got["anew"] != true || got["continued_from"] != int64(0) || len(h.Rows("primary", adapters)) != 1 {
		t.Errorf("got %v", got)
	}
	// Two of the first examples, and four of these.
	if n := len(h.Events(eventProgress)); n != 6 {
		t.Errorf("%d progress events", n)
	}
	fresh, table := world(t, 70, nil)
	table.Insert(int64(3), "another", "text")
	run(t, fresh, task)
	if a, b := h.Rows("primary", adapters)[0], fresh.Rows("primary", adapters)[0]; !bytes.Equal(a[bAt].([]byte), b[bAt].([]byte)) {
		t.Error("what was learned before has an effect")
	}
}

// Between saving the adapter and the end, the examples may change: the adapter is
// the task's nevertheless, and remains its only one.
func TestExamplesThatChangeAfterwards(t *testing.T) {
	t.Parallel()
	h, table := world(t, 70, nil)
	task := sdktest.TaskOf("training", payload(nil))
	h.Before(func(c *sdktest.Call) error {
		if c.Command == commandEmbed {
			return abi.Errorf(abi.Unavailable, "not now")
		}
		return nil
	})
	if _, err := h.Run(worker, task); !errors.Is(err, abi.Unavailable) {
		t.Fatalf("got %v", err)
	}
	h.Before(nil)
	table.Insert(int64(3), "another", "text")
	if got := run(t, h, task); got["anew"] != false || len(h.Rows("primary", adapters)) != 1 || len(h.Events(eventProgress)) != 4 {
		t.Errorf("got %v", got)
	}
}

func TestAdapterOfSomebodyElse(t *testing.T) {
	t.Parallel()
	h, table := world(t, 70, nil)
	run(t, h, sdktest.TaskOf("training", payload(map[string]any{"adapter": "x"})))
	// The same once more is the same adapter, and not trained again.
	again := sdktest.Task{ID: "task-2", Payload: payload(map[string]any{"adapter": "x"})}
	if run(t, h, again); len(h.Events(eventProgress)) != 4 {
		t.Errorf("%d progress events", len(h.Events(eventProgress)))
	}
	table.Insert(int64(3), "another", "text")
	_, err := h.Run(worker, sdktest.Task{ID: "task-3", Payload: payload(map[string]any{"adapter": "x"})})
	if !errors.Is(err, abi.Permanent) || !strings.Contains(abi.MessageOf(err), `has an adapter "x" already`) {
		t.Errorf("got %v", err)
	}
}

func TestBadCheckpoints(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(state []byte) []byte{
		"cut off": func(b []byte) []byte { return b[:len(b)-1] },
		"another": func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) },
	} {
		h, _ := world(t, 70, nil)
		task := sdktest.TaskOf("training", payload(nil))
		killAt(t, h, task, 2)
		row := h.Rows("primary", checkpoints)[0]
		table := h.Table("primary", checkpoints, []string{"task_id", "digest", "epoch", "state", "updated_at"}, "task_id")
		table.Insert(row[0], row[1], row[2], damage(row[3].([]byte)), row[4])
		if got := run(t, h, task); got["anew"] != true || got["continued_from"] != int64(0) {
			t.Errorf("%s: %v", name, got)
		}
	}
	// Numbers that are finite and yet too large end the task.
	h, _ := world(t, 70, nil)
	task := sdktest.TaskOf("training", payload(nil))
	killAt(t, h, task, 2)
	row := h.Rows("primary", checkpoints)[0]
	state := row[3].([]byte)
	most := embed.AppendVector(nil, []float32{math.MaxFloat32})
	for at := len(state) - 6*4*4*embed.Dim; at < len(state); at += 4 {
		copy(state[at:], most)
	}
	h.Table("primary", checkpoints, []string{"task_id", "digest", "epoch", "state", "updated_at"}, "task_id").Insert(row[0], row[1], row[2], state, row[4])
	if _, err := h.Run(worker, task); !errors.Is(err, abi.Permanent) || !strings.Contains(abi.MessageOf(err), lora.ErrDiverged.Error()) {
		t.Errorf("numbers that are too large: %v", err)
	}
}

func TestBadTasks(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]map[string]any{
		`unknown field "epoch"`:                      {"epoch": 3},
		`field "key" is empty`:                       {"key": ""},
		"must be three columns":                      {"key": "anchor"},
		`field "limit" is 0`:                         {"limit": 0},
		`field "limit" is 10001`:                     {"limit": maxExamples + 1},
		`field "rank" is 65`:                         {"rank": 65},
		`field "epochs" is 201`:                      {"epochs": 201},
		`field "learning_rate" is 0`:                 {"learning_rate": 0},
		`field "temperature" is 0.001`:               {"temperature": 0.001},
		`field "held_out" is 0.6`:                    {"held_out": 0.6},
		`field "seed" is no whole number`:            {"seed": 1.5},
		`field "batch_size" is 513`:                  {"batch_size": 513},
		`field "batch_size" is 1,`:                   {"batch_size": 1},
		`field "adapter" is "a/b"`:                   {"adapter": "a/b"},
		`field "adapter" is "a@b"`:                   {"adapter": "a@b"},
		`field "adapter" has 201 bytes`:              {"adapter": strings.Repeat("a", 201)},
		"but a batch of 64 and 2 are needed: add ex": {"batch_size": 64},
	} {
		h, _ := world(t, 40, nil)
		_, err := h.Run(worker, sdktest.TaskOf("training", payload(p)))
		if !errors.Is(err, abi.InvalidArgument) || !strings.Contains(abi.MessageOf(err), want) {
			t.Errorf("%v: got %v, want %q", p, err, want)
		}
	}
	h, _ := world(t, 40, nil)
	h.Config(map[string]any{"training.batchSize": 1})
	if _, err := h.Run(worker, sdktest.TaskOf("training", nil)); !errors.Is(err, abi.InvalidArgument) || !strings.Contains(abi.MessageOf(err), `config: key "training.batchSize" is 1`) {
		t.Errorf("config: %v", err)
	}
	if _, err := h.Run(worker, sdktest.TaskOf("training", payload(map[string]any{"collection": "none"}))); !errors.Is(err, abi.UnknownCollection) {
		t.Errorf("no such collection: %v", err)
	}
	h, _ = world(t, 0, nil)
	fill := func(t *sdk.Task) error { // a batch takes less time than that many calls of Insert
		b := sdk.NewBatch("id", "anchor", "positive")
		for i := range maxExamples + 1 {
			b.Row().Int(int64(i)).Text("a").Text("b")
		}
		_, err := t.Data.InsertRows("primary", "training_examples", b)
		return err
	}
	if _, err := h.Run(sdk.WorkerFunc(fill), sdktest.Task{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(worker, sdktest.TaskOf("training", payload(nil))); !errors.Is(err, abi.InvalidArgument) || !strings.Contains(abi.MessageOf(err), `10001 rows, but only 10000 fit into memory: give a "limit"`) {
		t.Errorf("too many examples: %v", err)
	}
}
