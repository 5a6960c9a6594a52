package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/watch"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// TrainingOptions say what to train.
type TrainingOptions struct {
	Dir     string // the demo's folder
	Guests  string // the folder of training.wasm and embedding.wasm
	Pairs   int
	Epochs  int
	Seed    int64
	Program string       // how this program was called, for the commands to try next
	Out     io.Writer    // what happens, for people
	Log     *slog.Logger // the host's log
}

// TrainingSummary is what the training came to. The metrics are of examples that
// were not trained on, before without the adapter and after with it.
type TrainingSummary struct {
	Dir        string       `json:"dir"`
	Task       string       `json:"task"`
	Adapter    string       `json:"adapter"`
	Model      string       `json:"model"` // the name of the model with the adapter
	Rank       int          `json:"rank"`
	Dimension  int          `json:"dimension"`
	Epochs     int          `json:"epochs"`
	Examples   int64        `json:"examples"`
	HeldOut    int64        `json:"held_out"`
	MRRBefore  float64      `json:"mrr_before"`
	MRRAfter   float64      `json:"mrr_after"`
	Top1Before float64      `json:"top1_before"`
	Top1After  float64      `json:"top1_after"`
	LossBefore float64      `json:"loss_before"`
	LossAfter  float64      `json:"loss_after"`
	TrainLoss  float64      `json:"train_loss"`
	Test       string       `json:"test"`
	Untested   string       `json:"untested,omitempty"`
	Losses     []float64    `json:"losses"` // of each epoch
	Seconds    float64      `json:"seconds"`
	Bill       metrics.Bill `json:"bill"`
}

// trainingGuests are the workers of the demo of training.
func trainingGuests() []string { return []string{"training", "embedding"} }

// trainingConfig is the wasmhost.toml of the demo of training.
const trainingConfig = `# The configuration of wasmhost demo training.

state_dir = "wasmhost-state"
workers_dir = "workers"

[data.handles.primary]
path = "primary.db"

[workers.training.grants]
commands = ["events/emit", "config/get", "embedding/embed"]
config = ["training.*"]

[workers.training.grants.data.primary.training_examples]
read = true

[workers.training.grants.data.primary.lora_adapters]
read = true
insert = true

[workers.training.grants.data.primary.training_checkpoints]
read = true
insert = true
update = true
delete = true

# It gives vectors with an adapter: the training worker tries its own by that.
[workers.embedding.grants]
commands = ["events/emit", "config/get"]
config = ["embedding.*"]
provides = ["embedding/query", "embedding/embed"]

[workers.embedding.grants.data.primary.lora_adapters]
read = true

[settings.training]
batchSize = 64
`

// Training makes a database of examples, has the training worker train on them, and
// checks what it left there. It returns a [Mismatch] if that is not what it told.
func Training(ctx context.Context, opts TrainingOptions) (*TrainingSummary, error) {
	modules := map[string][]byte{}
	for _, name := range trainingGuests() { // before anything is deleted for them
		wasm, err := os.ReadFile(filepath.Join(opts.Guests, name+".wasm"))
		if err != nil {
			return nil, fmt.Errorf("reading the %s worker: %w; build it with: make build", name, err)
		}
		modules[name] = wasm
	}
	r := newReport(opts.Out)
	r.line("wasmhost demo training in %s\n", opts.Dir)
	f, err := prepare(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.config, []byte(trainingConfig), 0o644); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	for name, wasm := range modules {
		if err := os.WriteFile(filepath.Join(f.workers, name+".wasm"), wasm, 0o644); err != nil {
			return nil, fmt.Errorf("copying the %s worker: %w", name, err)
		}
	}
	pairs, err := halves(opts.Pairs)
	if err != nil {
		return nil, err
	}
	if err := makeExamples(ctx, f.primary, pairs); err != nil {
		return nil, fmt.Errorf("filling %s: %w", f.primary, err)
	}
	r.step("examples", "%s sentences cut in two, in %s", thousands(int64(len(pairs))), filepath.Base(f.primary))
	cfg, err := config.Load(config.Options{File: f.config})
	if err != nil {
		return nil, err
	}
	s := &TrainingSummary{Dir: opts.Dir}
	if err := train(ctx, r, cfg, opts, s); err != nil {
		return nil, err
	}
	if err := verifyTraining(ctx, f.primary, s, opts); err != nil {
		return nil, fmt.Errorf("checking the database: %w", err)
	}
	tellTraining(r, f, opts, s)
	return s, nil
}

// train starts a host, has the worker do its task, and stops the host.
func train(ctx context.Context, r *report, cfg *config.Config, opts TrainingOptions, s *TrainingSummary) (err error) {
	r.line("  %-10s compiling Wasm, which is kept for the next time", "host")
	h, err := host.New(ctx, cfg, opts.Log)
	if err != nil {
		return fmt.Errorf("starting the host: %w", err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	for _, w := range h.Workers() {
		if w.State != worker.Ready {
			return fmt.Errorf("worker %s is %s: %s", w.Name, w.State, w.Reason)
		}
		r.step("", "worker %s is ready, sha256 %.12s…", w.Name, w.Digest)
	}
	// A host that ends before its task would be waited for in vain.
	serving, stop := context.WithCancelCause(ctx)
	stopped := make(chan error, 1)
	go func() {
		err := h.Run(serving)
		stop(fmt.Errorf("the host has stopped: %w", err))
		stopped <- err
	}()
	defer func() {
		stop(nil)
		err = errors.Join(err, <-stopped)
	}()

	payload, err := json.Marshal(map[string]any{"epochs": opts.Epochs, "seed": opts.Seed})
	if err != nil {
		return fmt.Errorf("making the task: %w", err)
	}
	began := time.Now()
	if s.Task, _, err = h.State().Submit(ctx, queue.Submission{Worker: "training", Kind: "training", Payload: payload}); err != nil {
		return fmt.Errorf("submitting the task: %w", err)
	}
	r.line("  %-10s training %s", "task "+s.Task, payload)

	following, enough := context.WithCancel(serving)
	told := make(chan error, 1)
	go func() { told <- showEpochs(following, r, h, s) }()
	record, err := watch.Task(serving, h.State().Queue, s.Task, watch.Options{})
	if err != nil || record.State != queue.Completed {
		enough()
		<-told
		if err != nil {
			return fmt.Errorf("waiting for the task: %w", err)
		}
		return fmt.Errorf("task %s is %s%s", s.Task, record.State, watch.Detail(record))
	}
	err = <-told // which ends with the last event: the worker recorded it before its task was completed
	enough()
	if err != nil {
		return fmt.Errorf("following the events: %w", err)
	}
	s.Seconds = time.Since(began).Seconds()
	if err := errors.Join(json.Unmarshal(record.Result, s), json.Unmarshal(record.Bill, &s.Bill)); err != nil {
		return fmt.Errorf("reading the task's result %s and bill %s: %w", record.Result, record.Bill, err)
	}
	r.step("trained", "on %s examples, %d epochs, %s batches of 64", thousands(s.Examples), s.Epochs, thousands(s.Examples/64*int64(s.Epochs)))
	r.note("", "%s; peak memory of the sandbox %s", shares(s.Bill), size(int64(s.Bill.PeakMemoryBytes)))
	return nil
}

const barWidth = 30

// showEpochs draws a bar for each epoch of the task, with its loss, until the task
// is complete.
func showEpochs(ctx context.Context, r *report, h *host.Host, s *TrainingSummary) error {
	for event, err := range h.State().Events.Follow(ctx, 0, "training:*") {
		if err != nil {
			return err
		}
		if event.Task != s.Task {
			continue
		}
		if event.Name == "training:complete" {
			break
		}
		var data struct {
			Epoch, Epochs int
			Loss          float64
		}
		if err := json.Unmarshal(event.Data, &data); err != nil || data.Epochs < 1 {
			return &Mismatch{What: fmt.Sprintf("event %d (%s) has data of another form: %s", event.ID, event.Name, event.Data)}
		}
		s.Losses = append(s.Losses, data.Loss)
		full := min(barWidth*data.Epoch/data.Epochs, barWidth)
		r.line("  %-10s ▕%s%s▏ epoch %*d of %d, loss %.4f", "", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
			len(fmt.Sprint(data.Epochs)), data.Epoch, data.Epochs, data.Loss)
	}
	return ctx.Err()
}

// tellTraining says what came of it, and what to do with it.
func tellTraining(r *report, f files, opts TrainingOptions, s *TrainingSummary) {
	r.line("\n  %s sentences were not trained on. Of each, the second half is looked for by the first:\n", thousands(s.HeldOut))
	r.line("  %-48s %9s %9s", "", "without", "adapter")
	r.line("  %-48s %9.4f %9.4f", "mean of 1/rank of the right one (MRR)", s.MRRBefore, s.MRRAfter)
	r.line("  %-48s %8.1f%% %8.1f%%", "found first", 100*s.Top1Before, 100*s.Top1After)
	r.line("  %-48s %9.4f %9.4f", "loss", s.LossBefore, s.LossAfter)
	r.line("\n  %-10s %s, of rank %d, %s, in the table lora_adapters", "adapter", s.Adapter, s.Rank, size(int64(8*s.Rank*s.Dimension)))
	r.line("  %-10s the embedding worker gives the same vectors with it as the training worker", "tested")
	r.line("  %-10s %*.2f s\n", "in all", textWidth+7, time.Since(r.began).Seconds())
	r.line("To embed with it, tell the embedding worker so in %s:", f.config)
	r.line("  [settings.embedding]\n  model = %q", s.Model)
	program := shellQuote(opts.Program)
	r.line("What to try next:")
	r.line("  %s demo training --pairs 8000 --epochs 20", program)
	r.line("  %s --config %s tasks show %s", program, shellQuote(f.config), s.Task)
	r.line("  %s --config %s events --pattern 'training:*'", program, shellQuote(f.config))
}
