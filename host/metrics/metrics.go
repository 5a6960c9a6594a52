package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wasmhost/wasmhost/abi"
)

// Metrics are the counters of one host. They are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	attempts, calls, fuel, cpu, guest, sql, hostCalls, commands, rowsRead, rowsWritten, rowBytes, transfer, asked, tokens, cost, unpriced, spent *prometheus.CounterVec

	wall, memory, callTime *prometheus.HistogramVec
}

// New returns counters that begin at zero, with those of the process and of
// Go's runtime beside them.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "wasmhost", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "wasmhost", Name: name, Help: help, Buckets: buckets}, []string{label})
		m.registry.MustRegister(h)
		return h
	}
	m.attempts = counter("task_attempts_total", "Attempts at tasks that ended, by the code they ended with.", "worker", "code")
	m.wall = histogram("task_seconds", "Wall time of one attempt at a task.", prometheus.ExponentialBuckets(0.001, 4, 10), "worker")
	m.calls = counter("command_calls_total", "Calls of commands that somebody provides, by the code they ended with.", "command", "code")
	m.callTime = histogram("command_seconds", "Wall time of one call of a command.", prometheus.ExponentialBuckets(0.00001, 4, 11), "command")
	m.fuel = counter("worker_fuel_total", "Units of guest work, in tasks and in calls of the worker's commands, as all of worker_*.", "worker")
	m.cpu = counter("worker_cpu_seconds_total", "Processor time of the worker's threads, host functions included.", "worker")
	m.guest = counter("worker_guest_seconds_total", "Wall time inside of guests.", "worker")
	m.sql = counter("worker_sql_seconds_total", "Wall time in the fast path.", "worker")
	m.hostCalls = counter("worker_host_calls_total", "Calls of host functions by guests.", "worker")
	m.commands = counter("worker_commands_total", "Commands called by guests, events included.", "worker")
	m.rowsRead = counter("worker_rows_read_total", "Rows handed over to guests.", "worker")
	m.rowsWritten = counter("worker_rows_written_total", "Rows inserted, updated or deleted.", "worker")
	m.rowBytes = counter("worker_row_bytes_total", "Bytes of rows, read by guests or written by them.", "worker", "direction")
	m.transfer = counter("worker_transfer_bytes_total", "All bytes between guests and the host: in is to the host.", "worker", "direction")
	m.spent = counter("worker_ai_cost_usd_total", "US dollars that the worker's calls of models cost, as far as it is known.", "worker")
	m.asked = counter("ai_calls_total", "Calls that came to a model, by the code they ended with; recorded for an answer that was paid for before.", "model", "code")
	m.tokens = counter("ai_tokens_total", "Tokens of texts that went in and of answers that came out, as far as servers told.", "model", "direction")
	m.cost = counter("ai_cost_usd_total", "US dollars, as far as prices and tokens are known.", "model")
	m.unpriced = counter("ai_unpriced_calls_total", "Answered calls whose cost is not known.", "model")
	m.memory = histogram("worker_peak_memory_bytes", "The largest size of the guest's memory in one run.", prometheus.ExponentialBuckets(1<<20, 2, 13), "worker")
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

const second = 1000. // milliseconds

// Ended counts an attempt at a task that ended with code.
func (m *Metrics) Ended(worker string, code abi.Code, b *Bill) {
	m.attempts.WithLabelValues(worker, code.String()).Inc()
	m.wall.WithLabelValues(worker).Observe(b.WallMS / second)
}

// Called counts a call of a command that ended with code.
func (m *Metrics) Called(command string, code abi.Code, took time.Duration) {
	m.calls.WithLabelValues(command, code.String()).Inc()
	m.callTime.WithLabelValues(command).Observe(took.Seconds())
}

// Used adds up what a run of a worker took, an attempt or a call.
func (m *Metrics) Used(worker string, b *Bill) {
	m.fuel.WithLabelValues(worker).Add(float64(b.Fuel))
	m.cpu.WithLabelValues(worker).Add(b.CPUMS / second)
	m.guest.WithLabelValues(worker).Add(b.GuestMS / second)
	m.sql.WithLabelValues(worker).Add(b.SQLMS / second)
	m.hostCalls.WithLabelValues(worker).Add(float64(b.HostCalls))
	m.commands.WithLabelValues(worker).Add(float64(b.Commands))
	m.rowsRead.WithLabelValues(worker).Add(float64(b.RowsRead))
	m.rowsWritten.WithLabelValues(worker).Add(float64(b.RowsWritten))
	m.rowBytes.WithLabelValues(worker, "read").Add(float64(b.BytesRead))
	m.rowBytes.WithLabelValues(worker, "written").Add(float64(b.BytesWritten))
	m.transfer.WithLabelValues(worker, "in").Add(float64(b.BytesIn))
	m.transfer.WithLabelValues(worker, "out").Add(float64(b.BytesOut))
	m.spent.WithLabelValues(worker).Add(b.AICostUSD)
	m.memory.WithLabelValues(worker).Observe(float64(b.PeakMemoryBytes))
}

// Handler answers with all counters.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
