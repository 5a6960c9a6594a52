package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestBillsAddUp(t *testing.T) {
	t.Parallel()
	m := New()
	bill := &Bill{
		WallMS: 20, CPUMS: 10, GuestMS: 5, SQLMS: 4, RowsWritten: 7, BytesRead: 100, BytesWritten: 50,
		BytesIn: 60, BytesOut: 120, Fuel: 1000, HostCalls: 3, Commands: 2, PeakMemoryBytes: 3 << 20,
	}
	m.Ended("archive", "ok", bill)
	m.Ended("archive", "ok", bill)
	m.Ended("archive", "trap", bill)
	m.Ended("other", "ok", &Bill{})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`wasmhost_task_attempts_total{code="ok",worker="archive"} 2`,
		`wasmhost_task_attempts_total{code="trap",worker="archive"} 1`,
		`wasmhost_task_attempts_total{code="ok",worker="other"} 1`,
		`wasmhost_task_fuel_total{worker="archive"} 3000`,
		`wasmhost_task_cpu_seconds_total{worker="archive"} 0.03`,
		`wasmhost_task_guest_seconds_total{worker="archive"} 0.015`,
		`wasmhost_task_sql_seconds_total{worker="archive"} 0.012`,
		`wasmhost_task_host_calls_total{worker="archive"} 9`,
		`wasmhost_task_commands_total{worker="archive"} 6`,
		`wasmhost_task_rows_written_total{worker="archive"} 21`,
		`wasmhost_task_row_bytes_total{direction="read",worker="archive"} 300`,
		`wasmhost_task_row_bytes_total{direction="written",worker="archive"} 150`,
		`wasmhost_task_transfer_bytes_total{direction="in",worker="archive"} 180`,
		`wasmhost_task_transfer_bytes_total{direction="out",worker="archive"} 360`,
		`wasmhost_task_seconds_sum{worker="archive"} 0.06`,
		`wasmhost_task_peak_memory_bytes_bucket{worker="archive",le="4.194304e+06"} 3`,
		`wasmhost_task_peak_memory_bytes_bucket{worker="archive",le="2.097152e+06"} 0`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no line %s in\n%s", want, w.Body)
		}
	}
}
