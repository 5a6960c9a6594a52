package host

import (
	"encoding/json"
	"time"
)

// Outcome is what the record of a completed task holds as its result.
type Outcome struct {
	Result json.RawMessage `json:"result"` // what the worker returned
	Bill   Bill            `json:"bill"`
}

// Bill is what one run of a task took.
type Bill struct {
	WallMS          float64 `json:"wall_ms"`           // from the sandbox's start on the task to its end
	GuestMS         float64 `json:"guest_ms"`          // the part inside of the guest
	SQLMS           float64 `json:"sql_ms"`            // the part in the fast path
	HostMS          float64 `json:"host_ms"`           // the rest: commands, progress, log
	RowsRead        int64   `json:"rows_read"`         // handed over to the guest
	RowsWritten     int64   `json:"rows_written"`      // inserted, updated or deleted
	BytesRead       int64   `json:"bytes_read"`        // of rows, to the guest
	BytesWritten    int64   `json:"bytes_written"`     // of rows, from the guest
	Fuel            int64   `json:"fuel"`              // guest work, the same on every machine
	HostCalls       int64   `json:"host_calls"`        //
	Commands        int64   `json:"commands"`          //
	PeakMemoryBytes uint64  `json:"peak_memory_bytes"` // of linear memory
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
