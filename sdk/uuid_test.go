package sdk_test

import (
	"regexp"
	"testing"

	"github.com/wasmhost/wasmhost/sdk"
)

func TestTaskUUID(t *testing.T) {
	t.Parallel()
	a, b := &sdk.Task{ID: "1", Key: "a"}, &sdk.Task{ID: "1", Key: "b"}
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if id := a.UUID("row"); !form.MatchString(id) || id != (&sdk.Task{ID: "2", Key: "a", Attempt: 2}).UUID("row") {
		t.Errorf("%q is no UUID, or another in another attempt", id)
	}
	seen := map[string]bool{}
	for _, id := range []string{a.UUID("row"), a.UUID("reply"), b.UUID("row"), (&sdk.Task{ID: "1"}).UUID("row"), (&sdk.Task{ID: "2"}).UUID("row")} {
		if seen[id] {
			t.Errorf("%s is the id of two", id)
		}
		seen[id] = true
	}
}
