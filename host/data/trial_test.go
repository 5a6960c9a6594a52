package data

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// TestTrialShowsABit of much: so many groups, rows and bytes.
func TestTrialShowsABit(t *testing.T) {
	t.Parallel()
	trial := (&Handles{}).Trial(context.Background())
	write := func(collection string, values ...any) {
		t.Helper()
		var w wire.Writer
		if err := w.Value([]string{"a"}); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if err := w.Value([]any{v}); err != nil {
				t.Fatal(err)
			}
		}
		trial.note("h", []abi.Mutation{{Collection: collection, Verb: abi.Insert}}, w.B, []abi.WriteResult{{Applied: int64(len(values))}})
	}
	write("short", strings.Repeat("é", 200), []byte{1, 2, 3}, nil, 1.5)
	for i := range shownGroups + 10 {
		write(fmt.Sprint("c", i), strings.Repeat("x", shownText), 1)
	}
	groups, more := trial.Written()
	if len(groups) != shownGroups || more != 22 {
		t.Fatalf("%d groups, %d more rows", len(groups), more)
	}
	if got, want := fmt.Sprintf("%s", groups[0].First), `[{"a":"`+strings.Repeat("é", 100)+`…"} {"a":{"bytes":3}} {"a":null} {"a":1.5}]`; got != want {
		t.Errorf("got %s", got)
	}
	trial.left = 50 // what is left of shownBytes
	write("c1", strings.Repeat("y", 100), 7)
	if groups, _ = trial.Written(); groups[2].Collection != "c1" || groups[2].Rows != 4 || len(groups[2].First) != 2 {
		t.Errorf("%+v", groups[2])
	}
}
