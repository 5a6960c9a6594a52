package metrics

import "time"

// Bill is what one attempt at a task took, however it ended.
type Bill struct {
	WallMS          float64 `json:"wall_ms"`           // from the sandbox's start on the task to its end
	CPUMS           float64 `json:"cpu_ms"`            // of the task's thread; 0 on systems that do not tell
	GuestMS         float64 `json:"guest_ms"`          // the part of the wall time inside of the guest
	SQLMS           float64 `json:"sql_ms"`            // the part in the fast path
	HostMS          float64 `json:"host_ms"`           // the rest: commands, progress, log
	RowsRead        int64   `json:"rows_read"`         // handed over to the guest
	RowsWritten     int64   `json:"rows_written"`      // inserted, updated or deleted
	BytesRead       int64   `json:"bytes_read"`        // of rows, to the guest
	BytesWritten    int64   `json:"bytes_written"`     // of rows, from the guest
	BytesIn         int64   `json:"bytes_in"`          // all that the guest gave to the host
	BytesOut        int64   `json:"bytes_out"`         // all that the host gave to the guest
	Fuel            int64   `json:"fuel"`              // guest work, the same on every machine
	HostCalls       int64   `json:"host_calls"`        //
	Commands        int64   `json:"commands"`          //
	PeakMemoryBytes uint64  `json:"peak_memory_bytes"` // of linear memory

	// What models took. Of a call whose answer was recorded already nothing is
	// counted but the call.
	AICalls        int64   `json:"ai_calls,omitempty"`
	AIRecalled     int64   `json:"ai_recalled,omitempty"`
	AIInputTokens  int64   `json:"ai_input_tokens,omitempty"` // as far as the servers told
	AIOutputTokens int64   `json:"ai_output_tokens,omitempty"`
	AICostUSD      float64 `json:"ai_cost_usd,omitempty"` // of the calls whose cost is known
	AIUnpriced     int64   `json:"ai_unpriced,omitempty"` // calls whose cost is not
}

// Milliseconds are the unit of a Bill's times.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
