package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/wasmhost/wasmhost/abi"
)

// hostID returns the name that this state folder's host has had since the
// first time it was opened.
func hostID(dir string) (string, error) {
	path := filepath.Join(dir, "host.id")
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the host's id: %w", err)
	}
	// Written aside and linked, so that of several processes that come first
	// exactly one wins and none reads half an id.
	tmp, err := os.CreateTemp(dir, "host.id.*")
	if err != nil {
		return "", fmt.Errorf("making the host's id: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString("host-" + rand.Text() + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("making the host's id: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("making the host's id: %w", err)
	}
	b, err = os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the host's id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// lockName is the file that a host locks in its state folder.
const lockName = "host.lock"

// hostRuns says whether a host runs on a state folder.
func hostRuns(dir string) (bool, error) {
	lock := flock.New(filepath.Join(dir, lockName))
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("looking whether a host runs on %s: %w", dir, err)
	}
	if free {
		err = lock.Unlock()
	}
	return !free, err
}

// LockState makes this process the only one that may run a host on a state
// folder, which must exist, until unlock is called or the process ends, however
// it ends. [New] does so by itself. Another holder is abi.Unavailable.
func LockState(dir string) (unlock func() error, err error) {
	lock := flock.New(filepath.Join(dir, lockName))
	// Who asks whether a host runs holds the lock for a moment.
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	ok, err := lock.TryLockContext(ctx, 5*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("locking the state folder %s: %w", dir, err)
	}
	if !ok {
		return nil, abi.Errorf(abi.Unavailable, "another host runs on the state folder %s: stop it, or give this one its own with --state-dir", dir)
	}
	return lock.Unlock, nil
}
