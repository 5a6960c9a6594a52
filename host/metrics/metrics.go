package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the counters of one host. They are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	attempts, fuel, cpu, guest, sql, hostCalls, commands, rowsWritten, rowBytes, transfer *prometheus.CounterVec

	wall   *prometheus.HistogramVec
	memory *prometheus.HistogramVec
}

// New returns counters that begin at zero, with those of the process and of
// Go's runtime beside them.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "wasmhost", Name: name, Help: help}, append([]string{"worker"}, labels...))
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "wasmhost", Name: name, Help: help, Buckets: buckets}, []string{"worker"})
		m.registry.MustRegister(h)
		return h
	}
	m.attempts = counter("task_attempts_total", "Attempts at tasks that ended, by the code they ended with.", "code")
	m.fuel = counter("task_fuel_total", "Units of guest work.")
	m.cpu = counter("task_cpu_seconds_total", "Processor time of the tasks' threads, host functions included.")
	m.guest = counter("task_guest_seconds_total", "Wall time inside of guests.")
	m.sql = counter("task_sql_seconds_total", "Wall time in the fast path.")
	m.hostCalls = counter("task_host_calls_total", "Calls of host functions by guests.")
	m.commands = counter("task_commands_total", "Commands called by guests, events included.")
	m.rowsWritten = counter("task_rows_written_total", "Rows inserted, updated or deleted.")
	m.rowBytes = counter("task_row_bytes_total", "Bytes of rows, read by guests or written by them.", "direction")
	m.transfer = counter("task_transfer_bytes_total", "All bytes between guests and the host: in is to the host.", "direction")
	m.wall = histogram("task_seconds", "Wall time of one attempt.", prometheus.ExponentialBuckets(0.001, 4, 10))
	m.memory = histogram("task_peak_memory_bytes", "The largest size of the guest's memory in one attempt.", prometheus.ExponentialBuckets(1<<20, 2, 13))
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Ended adds the bill of an attempt that ended with code, "ok" for well.
func (m *Metrics) Ended(worker, code string, b *Bill) {
	const second = 1000.
	m.attempts.WithLabelValues(worker, code).Inc()
	m.fuel.WithLabelValues(worker).Add(float64(b.Fuel))
	m.cpu.WithLabelValues(worker).Add(b.CPUMS / second)
	m.guest.WithLabelValues(worker).Add(b.GuestMS / second)
	m.sql.WithLabelValues(worker).Add(b.SQLMS / second)
	m.hostCalls.WithLabelValues(worker).Add(float64(b.HostCalls))
	m.commands.WithLabelValues(worker).Add(float64(b.Commands))
	m.rowsWritten.WithLabelValues(worker).Add(float64(b.RowsWritten))
	m.rowBytes.WithLabelValues(worker, "read").Add(float64(b.BytesRead))
	m.rowBytes.WithLabelValues(worker, "written").Add(float64(b.BytesWritten))
	m.transfer.WithLabelValues(worker, "in").Add(float64(b.BytesIn))
	m.transfer.WithLabelValues(worker, "out").Add(float64(b.BytesOut))
	m.wall.WithLabelValues(worker).Observe(b.WallMS / second)
	m.memory.WithLabelValues(worker).Observe(float64(b.PeakMemoryBytes))
}

// Handler answers with all counters.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
