package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/wasmhost/wasmhost/abi"
)

// A candidate is a version that is to be compared with the one that is served,
// before it takes its place. The state folder has one folder for each worker that
// has one, candidates/NAME, with its files, what is asked of the host, and what the
// host makes of it. It is there for as long as the process that wants it lives and
// holds the lock beside the folder: when that is killed, so is the candidate.

const (
	candidatesDir = "candidates"
	requestFile   = "request.json"
	reportFile    = "report.json"
	maxRequest    = 64 << 10
	maxReport     = 16 << 20
	// lockPatience is how long a lock is waited for that the host looks at, which
	// takes it for a moment.
	lockPatience = 2 * time.Second
)

// Request is what is asked of the host about a candidate.
type Request struct {
	ID     string   `json:"id"` // of this request, unlike all others
	Digest string   `json:"digest"`
	Tasks  int      `json:"tasks"`            // to compare
	Ignore []string `json:"ignore,omitempty"` // columns, and keys of params and results, that do not count
}

// Candidate is a candidate as the process has it that wants it.
type Candidate struct {
	dir  string
	id   string
	lock *flock.Flock
}

// Nominate makes a version the candidate for a worker, until Withdraw or the end of
// the process. Code: Conflict when there is another.
func Nominate(stateDir, name string, f *File, r Request) (_ *Candidate, err error) {
	all := filepath.Join(stateDir, candidatesDir)
	if err := os.MkdirAll(all, 0o700); err != nil {
		return nil, fmt.Errorf("nominating a candidate: %w", err)
	}
	c := &Candidate{dir: filepath.Join(all, name), id: r.ID, lock: flock.New(filepath.Join(all, name+".lock"))}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	locked, err := c.lock.TryLockContext(ctx, 10*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("nominating a candidate: %w", err)
	}
	if !locked {
		return nil, abi.Errorf(abi.Conflict, "another version of %s is being compared by another process", name)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("nominating a candidate: %w", err), c.Withdraw())
		}
	}()
	if err := os.RemoveAll(c.dir); err != nil { // of one that was killed
		return nil, err
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return nil, err
	}
	if err := Save(c.dir, name, f); err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return c, writeFile(filepath.Join(c.dir, requestFile), b) // last: from now on it counts
}

// Report reads what the host has reported last, and says whether it has.
func (c *Candidate) Report(into any) (bool, error) { return readReport(c.dir, c.id, into) }

// Withdraw takes the candidate back.
func (c *Candidate) Withdraw() error {
	// The host may be writing its report: what is left is swept by the next.
	_ = os.RemoveAll(c.dir)
	return c.lock.Unlock()
}

// report is a report with the request that it answers.
type report struct {
	Request string          `json:"request"`
	Report  json.RawMessage `json:"report"`
}

func readReport(dir, id string, into any) (bool, error) {
	b, err := readBounded(filepath.Join(dir, reportFile), maxReport, "fixed")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var r report
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err == nil && r.Request == id {
		err = json.Unmarshal(r.Report, into)
	}
	if err != nil {
		return false, fmt.Errorf("reading the report on a candidate: %w", err)
	}
	return r.Request == id, nil
}

// Candidates are those of a state folder, as the host sees them.
type Candidates struct{ dir string }

// OpenCandidates looks at the candidates in a state folder.
func OpenCandidates(stateDir string) *Candidates {
	return &Candidates{filepath.Join(stateDir, candidatesDir)}
}

// Names lists the workers that there are candidates for.
func (c *Candidates) Names() ([]string, error) {
	list, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the candidates: %w", err)
	}
	var names []string
	for _, e := range list {
		if e.IsDir() && abi.ValidName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Request returns what is asked for. There is none when it is being made, which is
// fs.ErrNotExist.
func (c *Candidates) Request(name string) (r Request, err error) {
	b, err := readBounded(filepath.Join(c.dir, name, requestFile), maxRequest, "fixed")
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// Wanted says whether the process still lives that wants the candidate.
func (c *Candidates) Wanted(name string) bool {
	lock := flock.New(filepath.Join(c.dir, name+".lock"))
	free, err := lock.TryRLock()
	if err == nil && free {
		_ = lock.Unlock()
	}
	return err != nil || !free
}

// Load reads the candidate's files, of at most limit bytes.
func (c *Candidates) Load(name string, r Request, limit int64) (*File, error) {
	f, err := Read(Entry{Name: name, File: filepath.Join(c.dir, name, name+Suffix)}, limit)
	if err == nil && f.Digest != r.Digest {
		err = abi.Errorf(abi.Corrupt, "the candidate for %s is not the one that was asked for", name)
	}
	return f, err
}

// Report replaces what is reported on a candidate.
func (c *Candidates) Report(name string, r Request, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		b, err = json.Marshal(report{r.ID, b})
	}
	if err == nil {
		err = writeFile(filepath.Join(c.dir, name, reportFile), b)
	}
	if err != nil {
		return fmt.Errorf("reporting on a candidate for %s: %w", name, err)
	}
	return nil
}

// Reported reads the report on a candidate, and says whether there is one.
func (c *Candidates) Reported(name string, r Request, into any) (bool, error) {
	return readReport(filepath.Join(c.dir, name), r.ID, into)
}

// Sweep removes a candidate that nobody wants any more.
func (c *Candidates) Sweep(name string) error { return os.RemoveAll(filepath.Join(c.dir, name)) }
