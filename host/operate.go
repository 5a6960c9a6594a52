package host

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/worker"
)

// Review is what there is to know before a worker is allowed what it asks for.
type Review struct {
	Name        string   `json:"name"`
	Digest      string   `json:"digest"`
	Version     string   `json:"version,omitempty"`
	Description string   `json:"description,omitempty"`
	Asks        []string `json:"asks,omitempty"`       // all that it asks for, in words
	New         []string `json:"new,omitempty"`        // of these, what it does not have
	Dropped     []string `json:"dropped,omitempty"`    // what the version that was allowed last asked for and this one does not
	NoHandles   []string `json:"no_handles,omitempty"` // databases that it asks for and nobody configured
	TakenBack   string   `json:"taken_back,omitempty"` // why it is not served any more

	file *worker.File
}

// Review looks at the worker's file in the folder. Codes: UnknownWorker, or
// InvalidModule for one that cannot be admitted whatever it is granted.
func (s *State) Review(name string) (*Review, error) {
	f, err := s.fileOf(name)
	if err != nil {
		return nil, err
	}
	decisions, err := worker.ReadDecisions(s.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	record, err := worker.OpenHistory(s.cfg.StateDir).Record(name)
	if err != nil {
		return nil, err
	}
	r := &Review{Name: name, Digest: f.Digest, file: f}
	if f.Manifest != nil {
		r.Version, r.Description = f.Manifest.Version, f.Manifest.Description
	}
	ask, decision := worker.AskOf(f.Manifest), decisions[name]
	for _, item := range ask.Items() {
		r.Asks = append(r.Asks, item.String())
		if h := item.Handle(); h != "" && !slices.Contains(r.NoHandles, h) {
			if _, ok := s.cfg.Data.Handles[h]; !ok {
				r.NoHandles = append(r.NoHandles, h)
			}
		}
	}
	for _, item := range ask.Missing(append(decision.Asks(), configAsk(s.cfg.Worker(name)))...) {
		r.New = append(r.New, item.String())
	}
	if n := len(decision.Allowed); n > 0 {
		for _, item := range decision.Allowed[n-1].Ask().Missing(ask) {
			r.Dropped = append(r.Dropped, item.String())
		}
	}
	if v, ok := record.Find(f.Digest); ok && v.Bad != "" && !decision.When(f.Digest).After(v.BadAt) {
		r.TakenBack = v.Bad
	}
	return r, nil
}

// Allow gives a worker what was reviewed, from now on and in later versions too.
func (s *State) Allow(r *Review) error {
	return worker.Decide(s.cfg.StateDir, r.Name, func(d *worker.Decision) error {
		d.Allow(r.file, time.Now())
		return nil
	})
}

// Revoke takes back all that was allowed. What the configuration grants stays.
// Code: NotFound when nothing was.
func (s *State) Revoke(name string) error {
	return worker.Decide(s.cfg.StateDir, name, func(d *worker.Decision) error {
		if len(d.Allowed) == 0 {
			return abi.Errorf(abi.NotFound, "nothing was allowed to a worker %q", clip(name))
		}
		d.Allowed = nil
		return nil
	})
}

// Deploy puts a module into the workers' folder, with the manifest and the
// signatures that are beside it. name is the worker's; "" takes the file's. What is
// served from then on is the host's to decide: see [State.Workers].
func (s *State) Deploy(file, name string) (digest string, err error) {
	f, name, err := s.moduleOf(file, name)
	if err != nil {
		return "", err
	}
	return f.Digest, s.put(name, f)
}

// moduleOf reads a module's file, anywhere, for the worker of a name.
func (s *State) moduleOf(file, name string) (*worker.File, string, error) {
	base, ok := strings.CutSuffix(filepath.Base(file), worker.Suffix)
	if !ok {
		return nil, "", abi.Errorf(abi.InvalidArgument, "%s: a module's file ends in %s", file, worker.Suffix)
	}
	name = cmp.Or(name, base)
	f, err := worker.Read(worker.Entry{Name: name, File: file}, s.cfg.Engine.MaxModuleBytes)
	return f, name, err
}

// Rollback puts a version that was served before into the workers' folder: one by
// its digest or its name, or with "" the one before that which is served. Codes:
// NotFound, Conflict for a worker that is pinned or a version that was taken back.
func (s *State) Rollback(name, version string) (digest string, err error) {
	history := worker.OpenHistory(s.cfg.StateDir)
	record, err := s.recordOf(name)
	if err != nil {
		return "", err
	}
	v, ok := record.Before()
	if version != "" {
		v, ok = record.Find(version)
	}
	if !ok && version == "" {
		return "", abi.Errorf(abi.NotFound, "no version of %s was served before", name)
	}
	if !ok {
		return "", abi.Errorf(abi.NotFound, "no version %q of %s is kept: there are %s", clip(version), name, versionsOf(record))
	}
	decisions, err := worker.ReadDecisions(s.cfg.StateDir)
	if err != nil {
		return "", err
	}
	if pin := decisions[name].Pin; pin != "" && pin != v.Digest {
		return "", abi.Errorf(abi.Conflict, "%s is pinned to the version %.12s: unpin it first", name, pin)
	}
	if v.Bad != "" && !decisions[name].When(v.Digest).After(v.BadAt) {
		return "", abi.Errorf(abi.Conflict, "the version %.12s was taken back: %s", v.Digest, v.Bad)
	}
	f, err := history.Load(name, v.Digest, s.cfg.Engine.MaxModuleBytes)
	if err != nil {
		return "", err
	}
	return v.Digest, s.put(name, f)
}

// Pin lets only one version of a worker be served: one that is kept or in the
// folder, by its digest or its name. Code: NotFound.
func (s *State) Pin(name, version string) (digest string, err error) {
	record, err := s.recordOf(name)
	if err != nil {
		return "", err
	}
	v, ok := record.Find(version)
	if f, ferr := s.fileOf(name); !ok && ferr == nil && len(version) >= 4 && strings.HasPrefix(f.Digest, version) {
		v.Digest, ok = f.Digest, true
	}
	if !ok {
		return "", abi.Errorf(abi.NotFound, "no version %q of %s is kept or in the folder: there are %s", clip(version), name, versionsOf(record))
	}
	return v.Digest, worker.Decide(s.cfg.StateDir, name, func(d *worker.Decision) error {
		d.Pin = v.Digest
		return nil
	})
}

// Unpin lets any version be served again. Code: NotFound when none was pinned.
func (s *State) Unpin(name string) error {
	return worker.Decide(s.cfg.StateDir, name, func(d *worker.Decision) error {
		if d.Pin == "" {
			return abi.Errorf(abi.NotFound, "no version of a worker %q is pinned", clip(name))
		}
		d.Pin = ""
		return nil
	})
}

// put puts a version into the workers' folder.
func (s *State) put(name string, f *worker.File) error {
	return worker.Place(s.cfg.StateDir, s.cfg.WorkersDir, name, f)
}

// fileOf reads the worker's file in the folder.
func (s *State) fileOf(name string) (*worker.File, error) {
	entries, err := worker.Scan(s.cfg.WorkersDir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name == name {
			return worker.Read(e, s.cfg.Engine.MaxModuleBytes)
		}
	}
	return nil, abi.Errorf(abi.UnknownWorker, "no worker is named %q in %s", clip(name), s.cfg.WorkersDir)
}

func (s *State) recordOf(name string) (*worker.Record, error) {
	if !abi.ValidName(name) {
		return nil, abi.Errorf(abi.UnknownWorker, "no worker can be named %q", clip(name))
	}
	return worker.OpenHistory(s.cfg.StateDir).Record(name)
}

func versionsOf(r *worker.Record) string {
	var all []string
	for _, v := range slices.Backward(r.Versions) {
		text := v.Digest[:min(len(v.Digest), 12)]
		if v.Version != "" {
			text += " (" + v.Version + ")"
		}
		all = append(all, text)
	}
	if all == nil {
		return "none"
	}
	return strings.Join(all, ", ")
}

// HostRuns says whether a host serves this state folder.
func (s *State) HostRuns() (bool, error) { return hostRuns(s.cfg.StateDir) }
