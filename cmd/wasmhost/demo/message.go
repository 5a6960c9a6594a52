package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// message is a row of chat_messages, in the order of columns. A nil pointer is
// NULL.
type message struct {
	ID, CreatedAt, UpdatedAt               string
	Version                                float64
	RoomID, SenderID, SenderName, SendType string
	Content, Status, Priority, Timestamp   string
	EditedAt                               *string
	Reactions                              string
	Thread, ReplyToID                      *string
	Metadata                               string
}

// columns are the columns of chat_messages.
func columns() []string {
	return []string{
		"id", "created_at", "updated_at", "version", "room_id", "sender_id", "sender_name", "sender_type", "content", "status",
		"priority", "timestamp", "edited_at", "reactions", "thread", "reply_to_id", "metadata",
	}
}

// values returns the row for a statement with one parameter per column.
func (m *message) values() []any {
	return []any{
		m.ID, m.CreatedAt, m.UpdatedAt, m.Version, m.RoomID, m.SenderID, m.SenderName, m.SendType, m.Content, m.Status,
		m.Priority, m.Timestamp, m.EditedAt, m.Reactions, m.Thread, m.ReplyToID, m.Metadata,
	}
}

// generator makes messages, from the oldest to the newest, the same ones each
// time.
type generator struct {
	rng    *rand.Rand
	texts  []string
	rooms  []room
	people []person
	now    time.Time
	n      int
	recent [64]string // ids that a message may reply to
}

type room struct{ ID, Name string }
type person struct{ ID, Name, Type string }

// seed makes the demo's rows what they are.
const seed = 20240501

func newGenerator(texts []string) *generator {
	g := &generator{
		rng:   rand.New(rand.NewPCG(seed, seed)),
		texts: texts,
		now:   time.Date(2024, 5, 1, 6, 0, 0, 0, time.UTC),
	}
	for _, name := range []string{"general", "Küche", "random", "研究室", "ops", "Lesekreis", "кают-компания", "déjà vu"} {
		g.rooms = append(g.rooms, room{g.uuid(), name})
	}
	for _, name := range []string{
		"Ishmael", "Queequeg", "Starbuck", "Zoë", "Łukasz", "小林さくら", "Олена", "Nguyễn Ánh", "Stubb", "Ahmed أحمد", "Pip 🐚", "Flask",
	} {
		g.people = append(g.people, person{g.uuid(), name, "human"})
	}
	for _, name := range []string{"Helper", "Teacher", "Reviewer"} {
		g.people = append(g.people, person{g.uuid(), name + " AI", "agent"})
	}
	return g
}

// next returns the next message. Timestamps strictly increase and all have the
// same form, so that they sort as text; the other dates come in both forms that
// are found in such databases.
func (g *generator) next() message {
	const millis = "2006-01-02T15:04:05.000Z"
	g.now = g.now.Add(time.Duration(1+g.rng.IntN(60_000)) * time.Millisecond)
	at := g.now.Format(millis)
	sender, where := g.people[g.rng.IntN(len(g.people))], g.rooms[g.rng.IntN(len(g.rooms))]
	m := message{
		ID: g.uuid(), CreatedAt: at, UpdatedAt: at, Version: 1,
		RoomID: where.ID, SenderID: sender.ID, SenderName: sender.Name, SendType: sender.Type,
		Status: "sent", Priority: "normal", Timestamp: at, Reactions: "[]",
	}
	m.Content = text(map[string]any{"text": g.texts[g.n%len(g.texts)]})
	if g.rng.IntN(40) == 0 { // from before ids were UUIDs
		m.ID = fmt.Sprintf("msg-%07d", g.n)
	}
	if g.rng.IntN(8) == 0 {
		m.CreatedAt = g.now.Add(time.Duration(g.rng.IntN(1_000_000))).Format("2006-01-02T15:04:05.000000000+00:00")
		m.UpdatedAt = m.CreatedAt
	}
	if g.rng.IntN(25) == 0 {
		edited := g.now.Add(time.Duration(g.rng.IntN(3600)) * time.Second).Format(millis)
		m.EditedAt, m.UpdatedAt, m.Version, m.Status = &edited, edited, 2, "edited"
	}
	if g.rng.IntN(10) == 0 {
		m.Reactions = text([]map[string]any{{"emoji": []string{"👍", "❤️", "🐋", "¿?"}[g.rng.IntN(4)], "users": []string{g.people[0].ID}}})
	}
	if g.rng.IntN(30) == 0 {
		thread := text(map[string]any{"replies": 1 + g.rng.IntN(9), "lastReply": at})
		m.Thread = &thread
	}
	if to := g.recent[g.rng.IntN(len(g.recent))]; to != "" && g.rng.IntN(4) == 0 {
		m.ReplyToID = &to
	}
	if g.rng.IntN(50) == 0 {
		m.Priority = "high"
	}
	m.Metadata = text(map[string]any{"room": where.Name, "source": "demo", "n": g.n})
	g.recent[g.n%len(g.recent)] = m.ID
	g.n++
	return m
}

// uuid returns a version 4 UUID.
func (g *generator) uuid() string {
	a, b := g.rng.Uint64(), g.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

// text returns the JSON of a value that the generator made.
func text(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings, numbers, lists and maps always have a JSON form
	}
	return string(b)
}
