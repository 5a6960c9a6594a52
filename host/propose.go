package host

import (
	"crypto/rand"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/worker"
)

// Bounds of what is asked of a comparison.
const (
	MaxCanaryTasks = 1000
	maxIgnored     = 64
	maxIgnoredName = 256 // bytes
)

// Proposal is a version that a running host compares with the one that it serves,
// before it takes its place. It ends with the process.
type Proposal struct {
	state     *State
	name      string
	file      *worker.File
	candidate *worker.Candidate
}

// Propose has the host that runs compare a module with the version of the worker
// that it serves, by the next tasks that it takes up, so many at most. name is the
// worker's; "" takes the file's. Columns, and keys of params and results, that are
// to be ignored make no difference. Close must be called. Codes: InvalidArgument,
// Unavailable when no host runs, Conflict when another is compared.
func (s *State) Propose(file, name string, tasks int, ignore []string) (*Proposal, error) {
	if tasks < 1 || tasks > MaxCanaryTasks {
		return nil, abi.Errorf(abi.InvalidArgument, "%d tasks to compare: 1 to %d", tasks, MaxCanaryTasks)
	}
	if len(ignore) > maxIgnored || slices.ContainsFunc(ignore, func(s string) bool { return s == "" || len(s) > maxIgnoredName }) {
		return nil, abi.Errorf(abi.InvalidArgument, "names to ignore: %d at most, of 1 to %d bytes", maxIgnored, maxIgnoredName)
	}
	f, name, err := s.moduleOf(file, name)
	if err != nil {
		return nil, err
	}
	runs, err := hostRuns(s.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	if !runs {
		return nil, abi.Errorf(abi.Unavailable, "no host runs on the state folder %s, and only one that does can compare versions", s.cfg.StateDir)
	}
	p := &Proposal{state: s, name: name, file: f}
	p.candidate, err = worker.Nominate(s.cfg.StateDir, name, f, worker.Request{
		ID: strings.ToLower(rand.Text()), Digest: f.Digest, Tasks: tasks, Ignore: ignore,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Report returns what the host has reported last, nil before it has.
func (p *Proposal) Report() (*Canary, error) {
	var c Canary
	if there, err := p.candidate.Report(&c); !there || err != nil {
		return nil, err
	}
	return &c, nil
}

// Deploy puts what was compared into the workers' folder, whatever has become of
// the file that it was read from.
func (p *Proposal) Deploy() (digest string, err error) {
	return p.file.Digest, p.state.put(p.name, p.file)
}

// Close ends the comparison. What is served stays.
func (p *Proposal) Close() error { return p.candidate.Withdraw() }
