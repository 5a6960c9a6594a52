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
	"time"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/watch"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// InferenceOptions say what to ask, and whom.
type InferenceOptions struct {
	Dir      string // the demo's folder
	Guest    string // inference.wasm
	Question string
	URL      string // of a server that speaks OpenAI's protocol; "" for no server
	Model    string // the server's name for its model
	KeyEnv   string // the environment variable with its key; "" for none
	Stream   bool
	Program  string       // how this program was called, for the commands to try next
	Out      io.Writer    // what happens, for people
	Terminal bool         // Out is a terminal
	Log      *slog.Logger // the host's log
}

// InferenceSummary is what came of it.
type InferenceSummary struct {
	Dir        string          `json:"dir"`
	Task       string          `json:"task"`
	Question   string          `json:"question"`
	Answer     string          `json:"answer"`
	Label      string          `json:"label"` // what kind of answer that is
	Generation map[string]any  `json:"generation"`
	Bill       json.RawMessage `json:"bill"`
}

// Inference makes a conversation, has the inference worker answer its last message,
// and checks what it wrote. It returns a [Mismatch] if the database does not hold
// that.
func Inference(ctx context.Context, opts InferenceOptions) (*InferenceSummary, error) {
	wasm, err := os.ReadFile(opts.Guest) // before anything is deleted for it
	if err != nil {
		return nil, fmt.Errorf("reading the inference worker: %w; build it with: make build", err)
	}
	r := newReport(opts.Out)
	r.line("wasmhost demo inference in %s\n", opts.Dir)
	f, err := prepare(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.config, []byte(inferenceConfig(opts)), 0o644); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(f.workers, "inference.wasm"), wasm, 0o644); err != nil {
		return nil, fmt.Errorf("copying the inference worker: %w", err)
	}
	n, err := makeConversation(ctx, f.primary, opts.Question)
	if err != nil {
		return nil, fmt.Errorf("making the conversation: %w", err)
	}
	r.step("messages", "%d of Moby Dick, and a question, in %s", n, filepath.Base(f.primary))
	cfg, err := config.Load(config.Options{File: f.config})
	if err != nil {
		return nil, err
	}
	s := &InferenceSummary{Dir: opts.Dir, Question: opts.Question}
	if err := infer(ctx, r, cfg, opts, s); err != nil {
		return nil, err
	}
	if s.Generation, s.Answer, err = readGeneration(ctx, f.primary); err != nil {
		return nil, fmt.Errorf("checking the database: %w", err)
	}
	provider, _ := s.Generation["provider"].(string)
	s.Label = labelOf(provider)
	r.line("")
	r.line("  question   %s", s.Question)
	r.line("  answer     %s", s.Answer)
	r.line("  which is   %s", s.Label)
	r.line("\n  its row in ai_generations:")
	for _, name := range generationColumns {
		value := s.Generation[name]
		if value == nil {
			value = "NULL"
		}
		r.line("    %-14s %v", name, value)
	}
	r.line("\n  %-10s %*.2f s", "in all", textWidth+7, time.Since(r.began).Seconds())
	program := shellQuote(opts.Program)
	r.line("What to try next:")
	r.line("  %s demo inference --ask 'How does a whale differ from other fish?'", program)
	r.line("  %s demo inference --url http://127.0.0.1:8000/v1 --model NAME   # a server of your own", program)
	r.line("  %s --config %s tasks show %s", program, shellQuote(f.config), s.Task)
	return s, nil
}

// labelOf says what an answer of a provider is.
func labelOf(provider string) string {
	if provider == config.ProviderExtractive {
		return "sentences of the conversation that are nearest to the question, found without a language model (provider extractive)"
	}
	return "what the model of the server wrote (provider " + provider + ")"
}

// inferenceConfig is the demo's wasmhost.toml.
func inferenceConfig(o InferenceOptions) string {
	text := `# The configuration of wasmhost demo inference.

state_dir = "wasmhost-state"
workers_dir = "workers"

[data.handles.primary]
path = "primary.db"

[workers.inference.grants]
commands = ["events/emit", "config/get", "session/get", "ai/generate"]
config = ["inference.*"]

[workers.inference.grants.data.primary.chat_messages]
read = ["id", "room_id", "sender_type", "content", "timestamp"]
insert = true

[workers.inference.grants.data.primary.ai_generations]
read = true
insert = true

[workers.inference.limits]
ai_tokens = 20000

[settings.inference]
contextRows = 60
maxAttempts = 2
`
	if o.URL == "" {
		return text + "\n[ai.generate]\nmodel = \"extractive\" # finds sentences; no server is asked\n"
	}
	text += fmt.Sprintf("\n[ai.generate]\nmodel = \"demo\"\n\n[ai.models.demo]\nurl = %s\nmodel = %s\nmax_tokens = 200\ntimeout = \"5m\"\nattempts = 1\nstream = %t\n",
		tomlText(o.URL), tomlText(o.Model), o.Stream)
	if o.KeyEnv != "" {
		text += "key_env = " + tomlText(o.KeyEnv) + "\n"
	}
	return text
}

// tomlText is a text as a basic string of TOML, which JSON's are.
func tomlText(s string) string { return text(s) }

// infer starts a host, has the worker do its task, and stops the host.
func infer(ctx context.Context, r *report, cfg *config.Config, opts InferenceOptions, s *InferenceSummary) (err error) {
	h, err := host.New(ctx, cfg, opts.Log)
	if err != nil {
		return fmt.Errorf("starting the host: %w", err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	for _, w := range h.Workers() {
		if w.State != worker.Ready {
			return fmt.Errorf("worker %s is %s: %s", w.Name, w.State, w.Reason)
		}
		r.step("host", "worker %s is ready, sha256 %.12s…", w.Name, w.Digest)
	}
	serving, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- h.Run(serving) }()
	defer func() {
		stop()
		err = errors.Join(err, <-stopped)
	}()
	payload, err := json.Marshal(map[string]any{"room_id": room1, "reply": true})
	if err != nil {
		return fmt.Errorf("making the task: %w", err)
	}
	if s.Task, _, err = h.State().Submit(ctx, queue.Submission{Worker: "inference", Payload: payload}); err != nil {
		return fmt.Errorf("submitting the task: %w", err)
	}
	r.line("  %-10s inference %s", "task "+s.Task, payload)
	waiting, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go func() {
		select {
		case err := <-stopped: // a host that ends before its task would be waited for in vain
			stopped <- nil
			giveUp(fmt.Errorf("running the host: %w", err))
		case <-waiting.Done():
		}
	}()
	record, err := watch.Task(waiting, h.State().Queue, s.Task, watch.Options{Out: opts.Out, Terminal: opts.Terminal})
	if err != nil {
		return fmt.Errorf("waiting for the task: %w", errors.Join(err, context.Cause(waiting)))
	}
	var result struct {
		Success bool
		Error   string
	}
	switch err := json.Unmarshal(record.Result, &result); {
	case record.State != queue.Completed:
		return fmt.Errorf("task %s is %s%s", s.Task, record.State, watch.Detail(record))
	case err != nil:
		return fmt.Errorf("reading the task's result %s: %w", record.Result, err)
	case !result.Success:
		return fmt.Errorf("no answer: %s", result.Error)
	}
	s.Bill = record.Bill
	r.step("answered", "by the worker")
	return nil
}
