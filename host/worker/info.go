package worker

import (
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// State says whether a worker takes tasks.
type State string

// The states of a worker.
const (
	Ready   State = "ready"   // compiled and served
	Present State = "present" // in the folder; no host that runs has looked at it
	Pending State = "pending" // it asks for what it was not given
	Held    State = "held"    // so does it, or it is not the pinned one; a version from before may be served
	Refused State = "refused" // it cannot be admitted; a version from before may be served
)

// Info is what can be said of a worker without running it.
type Info struct {
	Name        string        `json:"name"`
	File        string        `json:"file"`
	Digest      string        `json:"digest,omitempty"` // of the file: see [Digest]
	Size        int64         `json:"size"`             // bytes
	State       State         `json:"state"`
	Reason      string        `json:"reason,omitempty"` // of any state but ready and present
	Manifest    *abi.Manifest `json:"manifest,omitempty"`
	Concurrency int           `json:"concurrency"` // tasks at once
	Deadline    time.Duration `json:"deadline_ns"` // per task

	// Serving is the digest of the version that is served, "" for none.
	Serving        string    `json:"serving,omitempty"`
	ServingVersion string    `json:"serving_version,omitempty"`
	Pin            string    `json:"pin,omitempty"`      // digest of the only one that may be
	Versions       []Version `json:"versions,omitempty"` // that can be served again, the latest last
}
