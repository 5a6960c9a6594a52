package demo

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// unpack takes a second under the race detector, so all tests share one result.
var unpack = sync.OnceValues(sentences)

func texts(t *testing.T) []string {
	t.Helper()
	list, err := unpack()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSentences(t *testing.T) {
	t.Parallel()
	list := texts(t)
	if len(list) != 35305 {
		t.Errorf("got %d sentences, want 35305 as corpus/ATTRIBUTION.md says", len(list))
	}
	for _, s := range list {
		if s == "" || s != strings.TrimSpace(s) || len(s) > 2000 {
			t.Fatalf("bad sentence %q", s)
		}
	}
	if len(packedText) > 2<<20 {
		t.Errorf("the packed text has %d bytes, want less than 2 MiB", len(packedText))
	}
}

func TestMessagesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	digest := func(n int) string {
		g, h := newGenerator(texts(t)), sha256.New()
		for range n {
			m := g.next()
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(b)
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	if a, b := digest(5000), digest(5000); a != b {
		t.Errorf("two runs differ: %s and %s", a, b)
	}
	if a, b := digest(5000), digest(4999); a == b {
		t.Error("the last message makes no difference")
	}
}

// What the rows must have in them for the demo to show something.
func TestMessagesAreVaried(t *testing.T) {
	t.Parallel()
	g := newGenerator(texts(t))
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	ids, previous := map[string]bool{}, ""
	count := map[string]int{}
	for range 20_000 {
		m := g.next()
		if ids[m.ID] {
			t.Fatalf("id %s comes twice", m.ID)
		}
		ids[m.ID] = true
		if !stamp.MatchString(m.Timestamp) || m.Timestamp <= previous {
			t.Fatalf("timestamp %s after %s: want one form, and strictly increasing", m.Timestamp, previous)
		}
		previous = m.Timestamp
		for name, found := range map[string]bool{
			"uuid": uuid.MatchString(m.ID), "old id": strings.HasPrefix(m.ID, "msg-"), "offset date": strings.HasSuffix(m.CreatedAt, "+00:00"),
			"edited": m.EditedAt != nil, "thread": m.Thread != nil, "reply": m.ReplyToID != nil && ids[*m.ReplyToID],
			"reaction": m.Reactions != "[]", "not ASCII": strings.ContainsRune(m.Metadata, 'ü'), "agent": m.SendType == "agent",
		} {
			if found {
				count[name]++
			}
		}
		for _, text := range []string{m.Content, m.Reactions, m.Metadata} {
			if !json.Valid([]byte(text)) {
				t.Fatalf("row %s: %q is not JSON", m.ID, text)
			}
		}
		if len(m.values()) != len(columns()) {
			t.Fatalf("%d values for %d columns", len(m.values()), len(columns()))
		}
	}
	if count["uuid"]+count["old id"] != 20_000 {
		t.Errorf("%d ids are UUIDs and %d old ones, want all 20000", count["uuid"], count["old id"])
	}
	for _, name := range []string{"old id", "offset date", "edited", "thread", "reply", "reaction", "not ASCII", "agent"} {
		if count[name] < 100 {
			t.Errorf("%s: %d rows of 20000, want at least 100", name, count[name])
		}
	}
}
