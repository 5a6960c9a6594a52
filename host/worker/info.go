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
	Present State = "present" // in the folder; no host has compiled it yet
	Refused State = "refused" // Info.Reason says why
)

// Info is what can be said of a worker without running it.
type Info struct {
	Name        string        `json:"name"`
	File        string        `json:"file"`
	Digest      string        `json:"digest,omitempty"` // sha256 in hex
	Size        int64         `json:"size"`             // bytes
	State       State         `json:"state"`
	Reason      string        `json:"reason,omitempty"`
	Manifest    *abi.Manifest `json:"manifest,omitempty"`
	Concurrency int           `json:"concurrency"` // tasks at once
	Deadline    time.Duration `json:"deadline_ns"` // per task
}
