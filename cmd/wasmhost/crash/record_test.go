package crash

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// kind is what a system call does to a file.
type kind int

const (
	writes kind = iota
	truncates
	unlinks
	renames
	syncs // a file or a folder
)

func (k kind) String() string { return [...]string{"write", "truncate", "unlink", "rename", "sync"}[k] }

// point is the kind by which moments are counted: a sync, or a change.
func (k kind) point() kind {
	if k == syncs {
		return syncs
	}
	return writes
}

// call is a system call that succeeded.
type call struct {
	kind  kind
	file  string  // below the program's folder
	off   int64   // of a write; the new size
	data  []byte  // what was written
	began int     // how many calls had ended when this one began
	at    uintptr // where the program has what it writes
}

// moment is when to kill: at the nth call of a kind (see kind.point).
type moment struct {
	kind  kind
	n     int // from 1
	after bool
}

func (m moment) String() string {
	when := "before"
	if m.after {
		when = "after"
	}
	return fmt.Sprintf("%s %s %d", when, m.kind, m.n)
}

// program is what is run.
type program struct {
	argv  []string
	env   []string
	dir   string
	until string // text of a line of its log at which it is interrupted; "" for none

	// files says which files below the folder matter, nil for databases. Where it
	// is set, calls that SQLite does not make matter as well.
	files func(name string) bool
	// heard is told each line of its log; nil for nobody.
	heard func(line string)
}

// run is what a program did.
type run struct {
	calls  []call // in the order in which they ended
	open   []call // that had begun when it died
	killed bool   // the moment came
	exit   int
	signal syscall.Signal
	log    string
}

// count returns how many moments of a kind a run has.
func (r *run) count(k kind) int {
	n := 0
	for _, c := range r.calls {
		if c.kind.point() == k {
			n++
		}
	}
	return n
}

// recorded returns the name of a file below the program's folder that matters: by
// default one that belongs to a database. The index of a WAL does not: SQLite makes
// it anew after a crash. A sync may be one of a folder.
func (p *program) recorded(path string, k kind) (string, bool) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.dir, path)
	}
	name, err := filepath.Rel(p.dir, path)
	if err != nil || strings.HasPrefix(name, "..") {
		return "", false
	}
	if p.files != nil {
		return name, p.files(name)
	}
	return name, slices.Contains(databaseFiles, name) || k == syncs && slices.Contains(folders, name)
}
