package command

import "testing"

func TestCursor(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log, other := openLog(t, path), openLog(t, path)
	if id, known, err := log.Cursor(t.Context(), "a"); id != 0 || known || err != nil {
		t.Errorf("before it is set: %d, %t, %v", id, known, err)
	}
	for _, id := range []int64{0, 7, 3} {
		if err := log.SetCursor(t.Context(), "a", id); err != nil {
			t.Fatal(err)
		}
		if got, known, err := other.Cursor(t.Context(), "a"); got != id || !known || err != nil {
			t.Errorf("got %d, %t, %v; want %d", got, known, err, id)
		}
	}
	if _, known, _ := log.Cursor(t.Context(), "b"); known {
		t.Error("another reader's is known")
	}
}
