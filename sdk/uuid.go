package sdk

import (
	"crypto/sha256"
	"encoding/hex"
)

// UUID returns the id of something that the task makes once, by its name: the
// same in each attempt, and of no other name and no other task. So a row that an
// attempt has inserted is found by the next. It has the form of a UUID of version
// 8, https://www.rfc-editor.org/rfc/rfc9562#section-5.8.
func (t *Task) UUID(name string) string {
	key := t.Key
	if key == "" {
		key = t.ID // an older host: ids begin anew with its queue
	}
	sum := sha256.Sum256([]byte("wasmhost task\x00" + key + "\x00" + name))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
