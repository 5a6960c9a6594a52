package metrics

import "github.com/prometheus/client_golang/prometheus"

// Orchestrator is what went to an orchestrator, and came of it.
type Orchestrator struct {
	Calls, Failures, Timeouts, Reconnects, Fallbacks uint64
	Delivered, Refused, Skipped, Lost                uint64 // events
}

// WatchOrchestrator has read asked whenever somebody scrapes. It must be called
// once at most.
func (m *Metrics) WatchOrchestrator(read func() Orchestrator) {
	for _, c := range []struct {
		name, help string
		value      func(Orchestrator) uint64
	}{
		{"calls_total", "Calls of the orchestrator's commands.", func(o Orchestrator) uint64 { return o.Calls }},
		{"failures_total", "Calls that failed.", func(o Orchestrator) uint64 { return o.Failures }},
		{"timeouts_total", "Calls without an answer in time.", func(o Orchestrator) uint64 { return o.Timeouts }},
		{"reconnects_total", "Connections that replaced one that was lost.", func(o Orchestrator) uint64 { return o.Reconnects }},
		{"fallbacks_total", "Calls that the host answered, since the orchestrator has no such command.", func(o Orchestrator) uint64 { return o.Fallbacks }},
		{"events_delivered_total", "Events that it took.", func(o Orchestrator) uint64 { return o.Delivered }},
		{"events_refused_total", "Deliveries that it refused.", func(o Orchestrator) uint64 { return o.Refused }},
		{"events_skipped_total", "Events that were given up.", func(o Orchestrator) uint64 { return o.Skipped }},
		{"events_lost_total", "Events that the log no longer had.", func(o Orchestrator) uint64 { return o.Lost }},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Namespace: "wasmhost", Subsystem: "orchestrator", Name: c.name, Help: c.help},
			func() float64 { return float64(c.value(read())) }))
	}
}
