package command

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// ZeroSession is the id that is meant when none is given.
const ZeroSession = "00000000-0000-0000-0000-000000000000"

// Limits of sessions.
const (
	MaxSessionData    = 256 << 10 // bytes of one, as msgpack
	MaxSessions       = 10_000    // of one owner, not expired
	DefaultSessionTTL = 24 * time.Hour
	MaxSessionTTL     = 366 * 24 * time.Hour

	maxSessionID = 128
	// sweepSessions is how many expired ones a Set deletes.
	sweepSessions = 100
)

const sessionsSchema = `
CREATE TABLE IF NOT EXISTS sessions (
	owner   TEXT NOT NULL,    -- the worker that set it; '' for the host
	id      TEXT NOT NULL,
	data    BLOB NOT NULL,    -- a msgpack map
	expires INTEGER NOT NULL, -- Unix milliseconds
	PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires)`

// Session is a map that is kept until it expires.
type Session struct {
	ID      string
	Owner   string // the worker that set it; "" for the host
	Data    map[string]any
	Expires time.Time
}

// Sessions keeps sessions in the host's database. It is safe for concurrent use.
type Sessions struct {
	db  *sql.DB
	now func() time.Time
}

// OpenSessions prepares the database, which stays the caller's.
func OpenSessions(ctx context.Context, db *sql.DB) (*Sessions, error) {
	if _, err := db.ExecContext(ctx, sessionsSchema); err != nil {
		return nil, DBError("preparing the sessions", err)
	}
	return &Sessions{db: db, now: time.Now}, nil
}

// Get returns the session with this id that worker set, or else the one that
// nobody owns. Code: NotFound, also when it has expired.
func (s *Sessions) Get(ctx context.Context, worker, id string) (*Session, error) {
	found := &Session{ID: id}
	var data []byte
	var expires int64
	err := s.db.QueryRowContext(ctx, `SELECT owner, data, expires FROM sessions
		WHERE owner IN (?, '') AND id = ? AND expires > ? ORDER BY owner DESC LIMIT 1`,
		worker, id, s.now().UnixMilli()).Scan(&found.Owner, &data, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, abi.Errorf(abi.NotFound, "no session %q", clip(id))
	}
	if err != nil {
		return nil, DBError("reading a session", err)
	}
	r := wire.NewReader(data)
	v, err := r.Value()
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, abi.Errorf(abi.Corrupt, "session %q: its data is no map: %v", clip(id), err)
	}
	found.Data, found.Expires = m, time.UnixMilli(expires)
	return found, nil
}

// Set stores a session under its owner and id, in place of one that is there.
// One that expires in the past is thereby deleted. Codes: InvalidArgument,
// LimitExceeded.
func (s *Sessions) Set(ctx context.Context, session Session) error {
	now := s.now()
	data, err := session.encode(now)
	if err != nil {
		return err
	}
	err = s.set(ctx, &session, data, now)
	if err != nil && abi.CodeOf(err) != abi.LimitExceeded {
		return DBError("writing a session", err)
	}
	return err
}

// encode returns the data of a session that can be stored.
func (session *Session) encode(now time.Time) ([]byte, error) {
	if session.ID == "" || len(session.ID) > maxSessionID {
		return nil, abi.Errorf(abi.InvalidArgument, "session id of %d bytes: 1 to %d", len(session.ID), maxSessionID)
	}
	if session.Expires.Sub(now) > MaxSessionTTL || session.Expires.Before(time.UnixMilli(0)) {
		return nil, abi.Errorf(abi.InvalidArgument, "session %q: expires %v: within %v from now", clip(session.ID), session.Expires, MaxSessionTTL)
	}
	if session.Data == nil {
		session.Data = map[string]any{}
	}
	var w wire.Writer
	if err := w.Value(session.Data); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "session %q: data: %w", clip(session.ID), err)
	}
	if len(w.B) > MaxSessionData {
		return nil, abi.Errorf(abi.LimitExceeded, "session %q: %d bytes of data, at most %d are allowed", clip(session.ID), len(w.B), MaxSessionData)
	}
	return w.B, nil
}

// Delete forgets the session with this id that worker set, and says whether
// there was one. One that nobody owns stays.
func (s *Sessions) Delete(ctx context.Context, worker, id string) (deleted bool, err error) {
	var n int64
	res, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE owner = ? AND id = ?`, worker, id)
	if err == nil {
		n, err = res.RowsAffected()
	}
	if err != nil {
		return false, DBError("deleting a session", err)
	}
	return n > 0, nil
}

func (s *Sessions) set(ctx context.Context, session *Session, data []byte, now time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE (owner, id) IN
		(SELECT owner, id FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)`, now.UnixMilli(), sweepSessions); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO sessions (owner, id, data, expires) VALUES (?, ?, ?, ?)
		ON CONFLICT (owner, id) DO UPDATE SET data = excluded.data, expires = excluded.expires`,
		session.Owner, session.ID, data, session.Expires.UnixMilli()); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sessions WHERE owner = ? AND expires > ?`, session.Owner, now.UnixMilli()).Scan(&n); err != nil {
		return err
	}
	if n > MaxSessions {
		return abi.Errorf(abi.LimitExceeded, "sessions: %d at most", MaxSessions)
	}
	return tx.Commit()
}
