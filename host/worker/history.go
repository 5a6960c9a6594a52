package worker

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// keepVersions is how many versions of a worker are kept.
const keepVersions = 10

const maxRecord = 1 << 20 // bytes

// Version is one that was admitted once.
type Version struct {
	Digest  string    `json:"digest"`
	Version string    `json:"version,omitempty"` // what its manifest says
	Size    int64     `json:"size"`
	At      time.Time `json:"at"` // when it was last begun to be served

	// Bad says why the version was taken back, "" if it was not, and BadAt when.
	Bad   string    `json:"bad,omitempty"`
	BadAt time.Time `json:"bad_at,omitzero"`
}

// Record is what a host remembers of one worker.
type Record struct {
	Serving  string    `json:"serving,omitempty"`  // digest
	Versions []Version `json:"versions,omitempty"` // the latest last

	// Seen is what the host that runs, or ran last, made of the file in the folder.
	Seen Verdict `json:"seen"`
}

// Verdict is what a host made of a version.
type Verdict struct {
	Digest string    `json:"digest,omitempty"`
	State  State     `json:"state,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// Find returns the version with a digest, a beginning of one of 4 bytes or more,
// or what the manifest calls it, the latest of several.
func (r *Record) Find(name string) (Version, bool) {
	for _, v := range slices.Backward(r.Versions) {
		if v.Version == name && name != "" || len(name) >= 4 && strings.HasPrefix(v.Digest, name) {
			return v, true
		}
	}
	return Version{}, false
}

// Before returns the version that was served before the one that is.
func (r *Record) Before() (Version, bool) {
	for _, v := range slices.Backward(r.Versions) {
		if v.Digest != r.Serving && v.Bad == "" {
			return v, true
		}
	}
	return Version{}, false
}

// History keeps the versions of workers in a folder of its own: a folder for
// each worker, with its record and the files of its versions by digest. One host
// writes it, everybody may read. It is safe for concurrent use.
type History struct {
	dir string
	mu  sync.Mutex
}

// OpenHistory is the history in a state folder. Nothing is made until the first
// version is kept.
func OpenHistory(stateDir string) *History { return &History{dir: filepath.Join(stateDir, "versions")} }

// Sweep removes what a killed host left behind: files that are half written, and
// those of versions that no record names. Nobody may be writing.
func (h *History) Sweep() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	dirs, err := filepath.Glob(filepath.Join(h.dir, "*"))
	for _, dir := range dirs {
		sweep(dir, "*")
		r, rerr := h.Record(filepath.Base(dir))
		if rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.*"))
		for _, file := range files {
			digest, _, _ := strings.Cut(filepath.Base(file), ".")
			known := slices.ContainsFunc(r.Versions, func(v Version) bool { return v.Digest == digest })
			if len(digest) == 2*sha256.Size && !known {
				err = errors.Join(err, ignoreGone(os.Remove(file)))
			}
		}
	}
	return err
}

// Record returns what is remembered of a worker; nothing is no error.
func (h *History) Record(name string) (*Record, error) {
	r := &Record{}
	b, err := readBounded(filepath.Join(h.dir, name, "record.json"), maxRecord, "fixed")
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the history of %s: %w", name, err)
	}
	return r, nil
}

// Change changes the record of a worker, for good when it returns.
func (h *History) Change(name string, change func(*Record)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.change(name, change)
}

func (h *History) change(name string, change func(*Record)) error {
	r, err := h.Record(name)
	if err != nil {
		return err
	}
	change(r)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the history of %s: %w", name, err)
	}
	dir := filepath.Join(h.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing the history of %s: %w", name, err)
	}
	if err := writeFile(filepath.Join(dir, "record.json"), append(b, '\n')); err != nil {
		return fmt.Errorf("writing the history of %s: %w", name, err)
	}
	return nil
}

// Keep notes that a version is served from now on, and keeps its files. The
// oldest of too many are forgotten, but not the one that is spared.
func (h *History) Keep(f *File, spared string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	dir := filepath.Join(h.dir, f.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keeping a version of %s: %w", f.Name, err)
	}
	sweep(dir, "*")
	// The record names only what is there in full.
	if _, err := os.Stat(filepath.Join(dir, f.Digest+Suffix)); err != nil {
		if err := Save(dir, f.Digest, f); err != nil {
			return err
		}
	}
	var gone []string
	err := h.change(f.Name, func(r *Record) {
		v := Version{Digest: f.Digest, Size: f.Size, At: time.Now().UTC()}
		if f.Manifest != nil {
			v.Version = f.Manifest.Version
		}
		r.Versions = append(slices.DeleteFunc(r.Versions, func(old Version) bool { return old.Digest == f.Digest }), v)
		r.Serving = f.Digest
		for i := 0; i < len(r.Versions)-1 && len(r.Versions) > keepVersions; {
			if d := r.Versions[i].Digest; d == spared {
				i++
			} else {
				gone = append(gone, d)
				r.Versions = slices.Delete(r.Versions, i, i+1)
			}
		}
	})
	for _, digest := range gone {
		for _, suffix := range []string{Suffix, SidecarSuffix, SignatureSuffix, SidecarSigSuffix} {
			if rerr := ignoreGone(os.Remove(filepath.Join(dir, digest+suffix))); err == nil {
				err = rerr
			}
		}
	}
	return err
}

// Load reads a version's files. Code: NotFound.
func (h *History) Load(name, digest string, limit int64) (*File, error) {
	path := filepath.Join(h.dir, name, digest+Suffix)
	f, err := Read(Entry{Name: name, File: path}, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, abi.Errorf(abi.NotFound, "no version %.12s of %s is kept", digest, name)
	}
	if err != nil {
		return nil, err
	}
	if f.Digest != digest {
		return nil, abi.Errorf(abi.Corrupt, "%s: its content is not what its name says", path)
	}
	return f, nil
}
