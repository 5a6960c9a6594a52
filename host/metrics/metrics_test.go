package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestBillsAddUp(t *testing.T) {
	t.Parallel()
	m := New()
	bill := &Bill{
		WallMS: 20, CPUMS: 10, GuestMS: 5, SQLMS: 4, RowsRead: 9, RowsWritten: 7, BytesRead: 100, BytesWritten: 50,
		BytesIn: 60, BytesOut: 120, Fuel: 1000, HostCalls: 3, Commands: 2, PeakMemoryBytes: 3 << 20,
	}
	for _, code := range []abi.Code{abi.OK, abi.OK, abi.Trap} {
		m.Ended("archive", code, bill)
		m.Used("archive", bill)
	}
	m.Ended("other", abi.OK, &Bill{})
	m.Called("ping", abi.OK, 3*time.Millisecond)
	m.Called("ping", abi.InvalidArgument, 3*time.Millisecond)
	m.Watch(func() Databases {
		return Databases{PageCache: 4096, Handles: map[string]Database{"primary": {Groups: 2, Committing: 1500 * time.Millisecond}}}
	})
	m.WatchOrchestrator(func() Orchestrator { return Orchestrator{Calls: 8, Fallbacks: 1, Delivered: 6} })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`wasmhost_task_attempts_total{code="ok",worker="archive"} 2`,
		`wasmhost_task_attempts_total{code="trap",worker="archive"} 1`,
		`wasmhost_task_attempts_total{code="ok",worker="other"} 1`,
		`wasmhost_worker_fuel_total{worker="archive"} 3000`,
		`wasmhost_worker_cpu_seconds_total{worker="archive"} 0.03`,
		`wasmhost_worker_guest_seconds_total{worker="archive"} 0.015`,
		`wasmhost_worker_sql_seconds_total{worker="archive"} 0.012`,
		`wasmhost_worker_host_calls_total{worker="archive"} 9`,
		`wasmhost_worker_commands_total{worker="archive"} 6`,
		`wasmhost_worker_rows_read_total{worker="archive"} 27`,
		`wasmhost_worker_rows_written_total{worker="archive"} 21`,
		`wasmhost_worker_row_bytes_total{direction="read",worker="archive"} 300`,
		`wasmhost_worker_row_bytes_total{direction="written",worker="archive"} 150`,
		`wasmhost_worker_transfer_bytes_total{direction="in",worker="archive"} 180`,
		`wasmhost_worker_transfer_bytes_total{direction="out",worker="archive"} 360`,
		`wasmhost_command_calls_total{code="invalid_argument",command="ping"} 1`,
		`wasmhost_command_seconds_count{command="ping"} 2`,
		`wasmhost_sqlite_page_cache_bytes 4096`,
		`wasmhost_database_commits_total{handle="primary"} 2`,
		`wasmhost_database_commit_seconds_total{handle="primary"} 1.5`,
		`wasmhost_orchestrator_calls_total 8`,
		`wasmhost_orchestrator_fallbacks_total 1`,
		`wasmhost_orchestrator_events_delivered_total 6`,
		`wasmhost_task_seconds_sum{worker="archive"} 0.06`,
		`wasmhost_worker_peak_memory_bytes_bucket{worker="archive",le="4.194304e+06"} 3`,
		`wasmhost_worker_peak_memory_bytes_bucket{worker="archive",le="2.097152e+06"} 0`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no line %s in\n%s", want, w.Body)
		}
	}
}
