package worker

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// scanInterval is how often the folder is looked at without news: not every
	// file system tells them, and a link's target may be elsewhere.
	scanInterval = time.Second
	// settleTime is how long a file must look the same before it is read.
	settleTime = 50 * time.Millisecond
)

// Folder follows the workers in a folder. It is for one goroutine.
type Folder struct {
	dir   string
	limit int64 // bytes of a module

	seen map[string]sight // of the latest look
	told map[string]look  // what was told
}

// sight is what was seen, and since when it has looked so.
type sight struct {
	look  look
	since time.Time
}

// Change is news of a worker's file.
type Change struct {
	Entry
	Read *File // nil when it is gone or cannot be a worker
	Err  error // why it cannot
	Gone bool
}

// NewFolder follows the folder dir, which need not be there. A module of more
// than limit bytes is not read.
func NewFolder(dir string, limit int64) *Folder {
	return &Folder{dir: dir, limit: limit, seen: map[string]sight{}, told: map[string]look{}}
}

// look is what a worker's files looked like: the module, and those beside it.
type look [4]stamp

// stamp is zero for no file. The inode is compared by os.SameFile.
type stamp struct {
	info os.FileInfo
}

func (s stamp) same(o stamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime()) && os.SameFile(s.info, o.info)
}

func (l look) same(o look) bool {
	for i := range l {
		if !l[i].same(o[i]) {
			return false
		}
	}
	return true
}

// lookAt never fails: what cannot be seen is not there.
func lookAt(file string) (l look) {
	base := strings.TrimSuffix(file, Suffix)
	for i, suffix := range []string{Suffix, SidecarSuffix, SignatureSuffix, SidecarSigSuffix} {
		if info, err := os.Stat(base + suffix); err == nil {
			l[i].info = info
		}
	}
	return l
}

// Look reads what has changed since it was last told, and has looked the same for
// as long as it takes to be settled. again says that something is not settled, and
// is to be looked at soon. It fails when the folder cannot be listed, and then tells
// nothing. Workers that are busy are looked at later.
func (f *Folder) Look(busy ...string) (changes []Change, again bool, err error) {
	entries, err := Scan(f.dir)
	if err != nil {
		return nil, false, err
	}
	now := make(map[string]Entry, len(entries))
	for _, e := range entries {
		now[e.Name] = e
	}
	for name := range f.told {
		if _, there := now[name]; !there {
			now[name] = Entry{Name: name}
		}
	}
	maps.DeleteFunc(f.seen, func(name string, _ sight) bool { _, known := now[name]; return !known })
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if slices.Contains(busy, name) {
			again = true
			continue
		}
		e := now[name]
		var l look
		if e.File != "" {
			l = lookAt(e.File)
		}
		if told, known := f.told[name]; known && e.File != "" && told.same(l) {
			delete(f.seen, name)
			continue
		}
		before, seen := f.seen[name]
		if !seen || !before.look.same(l) {
			f.seen[name] = sight{l, time.Now()}
			again = true
			continue
		}
		if time.Since(before.since) < settleTime || beingWritten(e.File) {
			again = true
			continue
		}
		change := Change{Entry: e, Gone: e.File == ""}
		if change.Gone {
			delete(f.told, name)
			changes = append(changes, change)
			continue
		}
		change.Read, change.Err = Read(e, f.limit)
		if !lookAt(e.File).same(l) || beingWritten(e.File) {
			again = true // it changed under our eyes
			continue
		}
		f.told[name] = l
		changes = append(changes, change)
	}
	return changes, again, nil
}

// Follow calls look whenever there may be news, until ctx ends; look says whether
// it is to be called again soon.
func Follow(ctx context.Context, dirs []string, log *slog.Logger, look func() (again bool)) {
	events := make(<-chan fsnotify.Event)
	errs := make(<-chan error)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the file system does not tell of changes; folders are looked at each second", "error", err)
	} else {
		defer watcher.Close()
		events, errs = watcher.Events, watcher.Errors
	}
	tick := time.NewTicker(scanInterval)
	defer tick.Stop()
	soon := time.NewTimer(0) // the first look
	defer soon.Stop()
	waiting := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if !waiting { // news put nothing off
				soon.Reset(settleTime / 10)
				waiting = true
			}
			continue
		case <-errs: // the scan finds what was not told
			continue
		case <-tick.C:
		case <-soon.C:
			waiting = false
		}
		if watcher != nil {
			for _, dir := range dirs {
				_ = watcher.Add(filepath.Clean(dir)) // again each time: it may have come, or come back
			}
		}
		if look() && !waiting {
			soon.Reset(settleTime)
			waiting = true
		}
	}
}
