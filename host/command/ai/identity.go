package ai

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/command"
)

// identity is which call of which task a call is, whenever it comes again. The
// zero value is of a call that nothing can tell from another.
type identity struct {
	call   string // "" for none
	digest string // of what is asked; "" if that does not matter
}

// identityOf names a call by the caller's own key, or else by its number in the
// task and by what it asks.
func identityOf(c command.Caller, name, model, key string, params map[string]any) identity {
	if c.Unique == "" {
		return identity{}
	}
	if key != "" {
		return identity{call: c.Unique + "/" + name + "/" + key}
	}
	w := wire.Writer{}
	if err := w.Value([]any{name, model, params}); err != nil {
		return identity{} // cannot be: the params came off the wire
	}
	sum := sha256.Sum256(w.B)
	return identity{call: c.UniqueKey(), digest: hex.EncodeToString(sum[:16])}
}

// header is what a server is told to know the call by. It says nothing of the
// task.
func (id identity) header() string {
	if id.call == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte(id.call + "\x00" + id.digest))
	return hex.EncodeToString(sum[:16])
}
