package socket

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"math"
	"os"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Types of the envelope that are not kinds of task.
const (
	typePing     = "ping"
	typeStatus   = "status"
	typeShutdown = "shutdown"
)

// envelope is a request: {"id","type","timestamp","payload"?,"userId"?,
// "sessionId"?}. The time and who asks are the client's own business.
type envelope struct {
	id      json.RawMessage // nil if it has none that can be used
	kind    string
	payload json.RawMessage // nil for none
}

func parseEnvelope(o object) (e envelope, err error) {
	if e.id, err = o.id(); err != nil {
		return e, err
	}
	if e.kind, err = o.text("type", command.MaxName); err != nil {
		return e, err
	}
	switch {
	case e.id == nil:
		return e, abi.Errorf(abi.InvalidArgument, "id: is required")
	case e.kind == "":
		return e, abi.Errorf(abi.InvalidArgument, "type: is required")
	}
	e.payload, err = o.table("payload")
	return e, err
}

// answer is the reply to an envelope.
type answer struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Payload   any             `json:"payload"`
	RequestID json.RawMessage `json:"requestId"`
	Success   bool            `json:"success"`
	Error     string          `json:"error,omitempty"`
	ErrorType string          `json:"errorType,omitempty"`
}

func (d *tasks) envelope(o object) func(context.Context) any {
	return func(ctx context.Context) any {
		e, err := parseEnvelope(o)
		var payload any
		if err == nil {
			payload, err = d.answerEnvelope(ctx, e)
		}
		a := answer{
			ID: rand.Text(), Type: e.kind, Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			Payload: payload, RequestID: e.id, Success: err == nil,
		}
		if err != nil {
			a.Error, a.ErrorType = abi.MessageOf(err), errorType(err)
		}
		return a
	}
}

// answerEnvelope returns what the reply carries, also beside an error.
func (d *tasks) answerEnvelope(ctx context.Context, e envelope) (any, error) {
	switch e.kind {
	case typePing, typeStatus:
		st, err := d.worker.Status(ctx)
		if err != nil {
			return nil, err
		}
		if e.kind == typePing {
			return st.health(), nil
		}
		return st.report(), nil
	case typeShutdown:
		return d.shutdown(ctx, e.payload)
	}
	id, err := d.submit(ctx, command.Submission{Kind: e.kind, Payload: e.payload})
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, d.cfg.TaskTime)
	defer cancel()
	result, err := d.worker.Wait(waiting, id)
	if err != nil {
		return map[string]any{"taskId": id}, err
	}
	return result, nil
}

// health is the reply to ping.
type health struct {
	UptimeMS  int64   `json:"uptimeMs"`
	Depth     int64   `json:"queueDepth"`
	Processed int64   `json:"processedTotal"`
	Errors    int64   `json:"errorsTotal"`
	MemoryMB  float64 `json:"memoryMb"`
	Status    string  `json:"status"`
}

func (s *Status) health() health {
	return health{s.Uptime.Milliseconds(), s.Queued, s.Processed, s.Failed, mebibytes(s.MemoryBytes), s.word()}
}

// word sums a Status up as clients expect it.
func (s *Status) word() string {
	switch {
	case s.Failed*20 > s.Processed: // more than 5 %
		return "failing"
	case s.Queued > MaxQueued*8/10:
		return "degraded"
	}
	return "healthy"
}

func mebibytes(n int64) float64 { return math.Round(float64(n)/(1<<20)*10) / 10 }

// report is the reply to status.
type report struct {
	Worker    string  `json:"workerType"`
	Version   string  `json:"version"`
	PID       int     `json:"pid"`
	UptimeMS  int64   `json:"uptimeMs"`
	Status    string  `json:"status"`
	Metrics   metrics `json:"metrics"`
	Resources struct {
		MemoryMB float64 `json:"memoryMb"`
		LimitMB  float64 `json:"memoryLimitMb"`
		Threads  int     `json:"threads"`
	} `json:"resources"`
}

type metrics struct {
	Depth     int64   `json:"queueDepth"`
	Capacity  int64   `json:"queueCapacity"`
	Processed int64   `json:"processedTotal"`
	Errors    int64   `json:"errorsTotal"`
	ErrorRate float64 `json:"errorRate"` // 0 to 1
}

func (s *Status) report() report {
	r := report{
		Worker: s.Worker, Version: s.Version, PID: os.Getpid(), UptimeMS: s.Uptime.Milliseconds(), Status: s.word(),
		Metrics: metrics{Depth: s.Queued, Capacity: MaxQueued, Processed: s.Processed, Errors: s.Failed},
	}
	if s.Processed > 0 {
		r.Metrics.ErrorRate = float64(s.Failed) / float64(s.Processed)
	}
	r.Resources.MemoryMB, r.Resources.LimitMB, r.Resources.Threads = mebibytes(s.MemoryBytes), mebibytes(s.LimitBytes), s.Threads
	return r
}

// drained is the reply to shutdown.
type drained struct {
	Drained bool  `json:"queueDrained"`
	TookMS  int64 `json:"shutdownTimeMs"`
}

// shutdown {timeoutMs?, force?} makes the socket take no more tasks. Those that
// it took go on, whatever the client wants: it waits for them for a while, or
// with force not at all.
func (d *tasks) shutdown(ctx context.Context, payload json.RawMessage) (any, error) {
	const pause = 50 * time.Millisecond
	o := object{}
	if payload != nil {
		if err := json.Unmarshal(payload, &o); err != nil {
			return nil, abi.Errorf(abi.InvalidArgument, "payload: %w", err)
		}
	}
	ms, err := o.integer("timeoutMs", 0, math.MaxInt32, d.cfg.TaskTime.Milliseconds())
	if err != nil {
		return nil, err
	}
	force, err := o.flag("force")
	if err != nil {
		return nil, err
	}
	if !d.cfg.Shutdown {
		return nil, abi.Errorf(abi.NotGranted, "shutdown is not allowed here: an operator can set workers.%s.socket_shutdown", d.cfg.Worker)
	}
	d.shut.Store(true)
	begin := time.Now()
	end := begin.Add(min(time.Duration(ms)*time.Millisecond, d.cfg.TaskTime))
	for {
		st, err := d.worker.Status(ctx)
		if err != nil {
			return nil, err
		}
		empty := st.Queued == 0 && st.Running == 0
		if empty || force || !time.Now().Before(end) {
			return drained{empty, time.Since(begin).Milliseconds()}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}
