package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Database is what a handle's connections hold now, and have written.
type Database struct {
	Connections, Statements, MemoryBytes, Waiting int64
	Groups, Batches, Again                        int64
	Committing                                    time.Duration
}

// Databases has read asked for the handles' figures whenever somebody scrapes.
// It must be called once.
func (m *Metrics) Databases(read func() map[string]Database) {
	m.registry.MustRegister(databases(read))
}

type databases func() map[string]Database

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("wasmhost_database_"+name, help, []string{"handle"}, nil)
}

var (
	databaseConnections = desc("connections", "Open connections.")
	databaseStatements  = desc("statements", "Prepared statements that are kept.")
	databaseMemory      = desc("memory_bytes", "Memory of SQLite: page caches, and rows on their way in.")
	databaseWaiting     = desc("waiting_batches", "Batches in the line for the one that writes.")
	databaseGroups      = desc("commits_total", "Transactions that were committed.")
	databaseBatches     = desc("batches_total", "Batches in them, those that failed by themselves included.")
	databaseAgain       = desc("batches_again_total", "Batches that lost their transaction to another and went again.")
	databaseCommitting  = desc("commit_seconds_total", "Time in COMMIT, which waits for the disk.")
)

// Describe implements prometheus.Collector.
func (databases) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		databaseConnections, databaseStatements, databaseMemory, databaseWaiting,
		databaseGroups, databaseBatches, databaseAgain, databaseCommitting,
	} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (read databases) Collect(c chan<- prometheus.Metric) {
	for handle, d := range read() {
		tell := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64) {
			c <- prometheus.MustNewConstMetric(desc, kind, v, handle)
		}
		tell(databaseConnections, prometheus.GaugeValue, float64(d.Connections))
		tell(databaseStatements, prometheus.GaugeValue, float64(d.Statements))
		tell(databaseMemory, prometheus.GaugeValue, float64(d.MemoryBytes))
		tell(databaseWaiting, prometheus.GaugeValue, float64(d.Waiting))
		tell(databaseGroups, prometheus.CounterValue, float64(d.Groups))
		tell(databaseBatches, prometheus.CounterValue, float64(d.Batches))
		tell(databaseAgain, prometheus.CounterValue, float64(d.Again))
		tell(databaseCommitting, prometheus.CounterValue, d.Committing.Seconds())
	}
}
