package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/wasmhost/wasmhost/abi"
)

// A module and its manifest can be two files, and no file system replaces two at
// once: whoever is killed between them leaves a version that nobody made. So a
// version is first staged whole, in the folder placing/NAME of the state folder, and
// is placed by whoever comes, as often as it takes, until the stage is gone. A stage
// is whole when it has its module, which is written last and removed first.

const (
	placingDir = "placing"
	// placePatience is how long another process's placing is waited for.
	placePatience = 10 * time.Second
)

// placing is one worker's stage.
type placing struct {
	dir  string
	lock *flock.Flock // whoever has it may change the stage, and the worker's files
}

func placingOf(stateDir, name string) placing {
	dir := filepath.Join(stateDir, placingDir, name)
	return placing{dir, flock.New(dir + ".lock")}
}

// Place puts a version into the workers' folder, in place of what is there. A
// process that is killed meanwhile leaves what was there, or what is finished by
// [FinishPlacing]. Code: Unavailable when another process has been at it for long.
func Place(stateDir, workersDir, name string, f *File) error {
	if err := os.MkdirAll(filepath.Join(stateDir, placingDir), 0o700); err != nil {
		return fmt.Errorf("placing worker %s: %w", name, err)
	}
	p := placingOf(stateDir, name)
	ctx, cancel := context.WithTimeout(context.Background(), placePatience)
	defer cancel()
	if locked, err := p.lock.TryLockContext(ctx, 10*time.Millisecond); !locked {
		return abi.Errorf(abi.Unavailable, "placing worker %s: another process places it: %w", name, err)
	}
	defer p.lock.Unlock() //nolint:errcheck // it ends with the process
	if err := p.clear(name); err != nil {
		return fmt.Errorf("placing worker %s: %w", name, err)
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return fmt.Errorf("placing worker %s: %w", name, err)
	}
	if err := Save(p.dir, name, f); err != nil {
		return errors.Join(err, p.clear(name))
	}
	return p.finish(workersDir, name, f)
}

// finish places what is staged.
func (p placing) finish(workersDir, name string, f *File) error {
	sweep(workersDir, name+".*")
	if err := os.MkdirAll(workersDir, 0o755); err != nil {
		return fmt.Errorf("placing worker %s: %w", name, err)
	}
	if err := Save(workersDir, name, f); err != nil {
		return err
	}
	if err := p.clear(name); err != nil {
		return fmt.Errorf("placing worker %s: %w", name, err)
	}
	return nil
}

// clear removes the stage, whole or not.
func (p placing) clear(name string) error {
	if err := ignoreGone(os.Remove(filepath.Join(p.dir, name+Suffix))); err != nil {
		return err
	}
	return os.RemoveAll(p.dir)
}

// FinishPlacing places what killed processes have left, modules of at most limit
// bytes, and returns the workers that others are placing at the moment, whose files
// are not to be looked at.
func FinishPlacing(stateDir, workersDir string, limit int64) (busy []string, err error) {
	list, err := os.ReadDir(filepath.Join(stateDir, placingDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("placing workers: %w", err)
	}
	var wrong []error
	for _, e := range list {
		if !e.IsDir() || !abi.ValidName(e.Name()) {
			continue
		}
		locked, err := finishOne(stateDir, workersDir, e.Name(), limit)
		if !locked && err == nil {
			busy = append(busy, e.Name())
		}
		wrong = append(wrong, err)
	}
	return busy, errors.Join(wrong...)
}

func finishOne(stateDir, workersDir, name string, limit int64) (locked bool, err error) {
	p := placingOf(stateDir, name)
	if locked, err = p.lock.TryLock(); !locked || err != nil {
		return locked, err
	}
	defer p.lock.Unlock() //nolint:errcheck // as above
	f, err := Read(Entry{Name: name, File: filepath.Join(p.dir, name+Suffix)}, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return true, p.clear(name) // it never was whole
	}
	if abi.CodeOf(err) == abi.InvalidModule { // as by limits that were changed
		return true, errors.Join(err, p.clear(name))
	}
	if err != nil {
		return true, err
	}
	return true, p.finish(workersDir, name, f)
}
