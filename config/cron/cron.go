// Package cron says when a schedule is due.
//
// A schedule is an expression of five fields (minute, hour, day of the month,
// month, day of the week), as cron has them, and a time zone. What is due goes
// by the zone's wall clock. A time that the clock passes over when it is put
// forward is due at the first instant after it, and one that it shows twice when
// it is put back is due the first time only: each is due once. So an hourly
// schedule has one run less on the day that a zone puts the clock back; in UTC,
// the default, there are no such days.
package cron

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// maxText bounds an expression and the name of a zone, in bytes.
const maxText = 128

const fields = cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow

// Schedule is when something is due. It is not changed after Parse.
type Schedule struct {
	wall cron.Schedule // by a clock that is never put back
	zone *time.Location
}

// Parse reads an expression such as "0 3 * * 1-5" and the name of a time zone of
// the IANA database such as "Europe/Berlin"; "" is UTC. An expression that is
// never due is an error. Both may come from anywhere.
func Parse(expression, zone string) (*Schedule, error) {
	if len(expression) > maxText || len(zone) > maxText {
		return nil, fmt.Errorf("longer than %d bytes", maxText)
	}
	// The parser knows prefixes and names beside the five fields, and panics on
	// some: none of them gets there.
	for _, c := range []byte(expression) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune(" *,-/", rune(c)) {
			return nil, fmt.Errorf("%q is not one of five fields: minute, hour, day of the month, month, day of the week", c)
		}
	}
	wall, err := cron.NewParser(fields).Parse(expression)
	if err != nil {
		return nil, err
	}
	if zone == "Local" {
		return nil, fmt.Errorf("the time zone %q is another one on each machine; name it, such as Europe/Berlin", zone)
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q; allowed: UTC, or a name such as Europe/Berlin", zone)
	}
	if wall.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q is never due", expression)
	}
	return &Schedule{wall: wall, zone: location}, nil
}

// Next returns the first due time after an instant, in the schedule's zone; the
// zero time if there is none in the next five years.
func (s *Schedule) Next(after time.Time) time.Time {
	for wall := wallOf(after.In(s.zone)); ; {
		if wall = s.wall.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if due := s.instant(wall); due.After(after) {
			return due
		}
	}
}

// Latest returns the last due time after from and not after until; the zero time
// if there is none.
func (s *Schedule) Latest(from, until time.Time) time.Time {
	// Backwards in growing steps: the time since from may have very many.
	for reach := time.Hour; ; reach *= 8 {
		begin := until.Add(-reach)
		if !begin.After(from) {
			begin = from
		}
		var latest time.Time
		for due := s.Next(begin); !due.IsZero() && !due.After(until); due = s.Next(due) {
			latest = due
		}
		if !latest.IsZero() || begin.Equal(from) || reach > 10*365*24*time.Hour {
			return latest
		}
	}
}

// wallOf is what a clock shows, as if it were UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant returns when the zone's clock shows wall first, or passes over it.
func (s *Schedule) instant(wall time.Time) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, s.zone)
	begin, end := t.ZoneBounds()
	switch shown := wallOf(t); {
	case shown.After(wall): // put forward: t has the offset from before
		return begin
	case shown.Before(wall): // t has the offset from after
		return end
	case begin.IsZero():
		return t
	}
	_, before := begin.Add(-time.Nanosecond).Zone()
	if first := wall.Add(-time.Duration(before) * time.Second).In(s.zone); first.Before(begin) {
		return first
	}
	return t
}
