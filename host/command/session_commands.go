package command

import (
	"context"
	"errors"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// session/get {sessionId?} -> {found, sessionId, data?, expires_ms?}
func getSession(sessions SessionReader) Handler {
	return func(ctx context.Context, c Caller, params map[string]any) (any, error) {
		f := FieldsOf(params)
		id := f.Text("sessionId", maxSessionID)
		if err := f.End(); err != nil {
			return nil, err
		}
		if id == "" {
			id = ZeroSession
		}
		s, err := sessions.Get(ctx, c.Worker, id)
		if errors.Is(err, abi.NotFound) {
			return map[string]any{"found": false, "sessionId": id}, nil
		}
		if err != nil {
			return nil, err
		}
		found := map[string]any{"found": true, "sessionId": id, "data": s.Data}
		if !s.Expires.IsZero() {
			found["expires_ms"] = s.Expires.UnixMilli()
		}
		return found, nil
	}
}

// session/set {sessionId, data, ttl_ms?} -> {sessionId, expires_ms}
func setSession(now func() time.Time, set func(context.Context, Session) error) Handler {
	return func(ctx context.Context, c Caller, params map[string]any) (any, error) {
		f := FieldsOf(params)
		id := f.Required("sessionId", maxSessionID)
		if params["data"] == nil {
			f.Fail("data", "is required")
		}
		data := f.Object("data")
		ttl := f.Integer("ttl_ms", 1, MaxSessionTTL.Milliseconds(), DefaultSessionTTL.Milliseconds())
		if err := f.End(); err != nil {
			return nil, err
		}
		expires := now().Add(time.Duration(ttl) * time.Millisecond)
		if err := set(ctx, Session{ID: id, Owner: c.Worker, Data: data, Expires: expires}); err != nil {
			return nil, err
		}
		return map[string]any{"sessionId": id, "expires_ms": expires.UnixMilli()}, nil
	}
}

// session/delete {sessionId} -> {sessionId, deleted}
func deleteSession(del func(ctx context.Context, worker, id string) (bool, error)) Handler {
	return func(ctx context.Context, c Caller, params map[string]any) (any, error) {
		f := FieldsOf(params)
		id := f.Required("sessionId", maxSessionID)
		if err := f.End(); err != nil {
			return nil, err
		}
		deleted, err := del(ctx, c.Worker, id)
		if err != nil {
			return nil, err
		}
		return map[string]any{"sessionId": id, "deleted": deleted}, nil
	}
}
