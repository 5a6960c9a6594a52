package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Database is what a handle's connections hold now, and have written.
type Database struct {
	Connections, Statements, Waiting int64
	Groups, Batches, Again, Locked   int64
	Committing                       time.Duration
}

// Databases are the figures of all handles.
type Databases struct {
	Handles   map[string]Database
	PageCache int64 // bytes, of the process
}

// Watch has read asked for the databases' figures whenever somebody scrapes. It
// must be called once.
func (m *Metrics) Watch(read func() Databases) { m.registry.MustRegister(databases(read)) }

type databases func() Databases

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("wasmhost_database_"+name, help, []string{"handle"}, nil)
}

var (
	databaseConnections = desc("connections", "Open connections.")
	databaseStatements  = desc("statements", "Prepared statements that are kept.")
	databaseWaiting     = desc("waiting_batches", "Batches in the line for the one that writes.")
	databaseGroups      = desc("commits_total", "Transactions that were committed.")
	databaseBatches     = desc("batches_total", "Batches in them, those that failed by themselves included.")
	databaseAgain       = desc("batches_again_total", "Batches that lost their transaction to another and went again.")
	databaseLocked      = desc("locked_total", "Times that another program had the file locked for too long.")
	databaseCommitting  = desc("commit_seconds_total", "Time in COMMIT, which waits for the disk.")

	pageCache = prometheus.NewDesc("wasmhost_sqlite_page_cache_bytes", "Page caches of all handles together: nearly all of SQLite's memory.", nil, nil)
)

// Describe implements prometheus.Collector.
func (databases) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		databaseConnections, databaseStatements, databaseWaiting,
		databaseGroups, databaseBatches, databaseAgain, databaseLocked, databaseCommitting, pageCache,
	} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (read databases) Collect(c chan<- prometheus.Metric) {
	all := read()
	c <- prometheus.MustNewConstMetric(pageCache, prometheus.GaugeValue, float64(all.PageCache))
	for handle, d := range all.Handles {
		tell := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64) {
			c <- prometheus.MustNewConstMetric(desc, kind, v, handle)
		}
		tell(databaseConnections, prometheus.GaugeValue, float64(d.Connections))
		tell(databaseStatements, prometheus.GaugeValue, float64(d.Statements))
		tell(databaseWaiting, prometheus.GaugeValue, float64(d.Waiting))
		tell(databaseGroups, prometheus.CounterValue, float64(d.Groups))
		tell(databaseBatches, prometheus.CounterValue, float64(d.Batches))
		tell(databaseAgain, prometheus.CounterValue, float64(d.Again))
		tell(databaseLocked, prometheus.CounterValue, float64(d.Locked))
		tell(databaseCommitting, prometheus.CounterValue, d.Committing.Seconds())
	}
}
