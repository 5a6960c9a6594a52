package sqlite

import (
	"os"

	"github.com/wasmhost/wasmhost/abi"
)

// errMoved is for a store whose file is not at its path any more, but another
// one or none. What was written to the old one nobody might ever see.
var errMoved = abi.Errorf(abi.Unavailable, "the database file was replaced")

// Moved says whether the file at the store's path is another one than it has
// open, or none. It serves nothing any more then, and is to be closed and opened
// anew, see [Store.Leftover].
func (s *Store) Moved() bool { return s.checkMoved() != nil }

// checkMoved looks whether others still find the same file at the path. Since
// connections have it open, no other can be taken for it.
func (s *Store) checkMoved() error {
	if info, err := os.Stat(s.path); s.moved.Load() || err != nil || !os.SameFile(info, s.file) {
		s.moved.Store(true)
		return errMoved
	}
	return nil
}

// noteLog remembers the write-ahead log that a connection has open. It is the
// same one as long as any connection is open.
func (s *Store) noteLog() {
	if info, err := os.Stat(s.path + "-wal"); err == nil {
		s.log.Store(&info)
	}
}

// Leftover returns an error while the write-ahead log of a store that was moved
// is still beside the new file. A connection to that would take the log for its
// own: put pages of the old database into the new one, and share it with whoever
// has the old one open. Who that is cannot be known here, so the log is not
// touched either; it may hold rows that the old file needs. The error names the
// path and is for the operator.
func (s *Store) Leftover() error {
	old := s.log.Load()
	if old == nil || !s.Moved() {
		return nil
	}
	if info, err := os.Stat(s.path + "-wal"); err == nil && os.SameFile(*old, info) {
		return abi.Errorf(abi.Unavailable, "%s-wal is still the one of the file that was replaced, and would damage the new one: "+
			"end all programs that have the old file open, move its -wal beside it or remove it, and remove %s-shm", s.path, s.path)
	}
	return nil
}
