package cron

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, expression, zone string) *Schedule {
	t.Helper()
	s, err := Parse(expression, zone)
	if err != nil {
		t.Fatalf("%q %q: %v", expression, zone, err)
	}
	return s
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// TestNext: in Berlin the clock goes from 02:00 to 03:00 on 29 March 2026, and
// from 03:00 back to 02:00 on 25 October.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, expression, zone, after string
		want                          []string // the next ones, in order
	}{
		{"every day", "0 3 * * *", "", "2026-01-01T00:00:00Z", []string{"2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"}},
		{"not at the time itself", "0 3 * * *", "UTC", "2026-01-01T03:00:00Z", []string{"2026-01-02T03:00:00Z"}},
		{"of a zone", "0 3 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{"2026-01-01T03:00:00+01:00"}},
		{"weekdays", "30 9 * * 1-5", "", "2026-01-02T12:00:00Z", []string{"2026-01-05T09:30:00Z"}},
		{"names", "0 0 * feb mon", "", "2026-01-02T12:00:00Z", []string{"2026-02-02T00:00:00Z"}},
		{"a leap day", "0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},

		{"a time that there is not", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"several that there are not, and one that there is", "*/30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"a time that there is twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"after the second of the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:45:00Z", []string{"2026-10-26T02:30:00+01:00"}},
		{"an hour that there is twice", "0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"}},
		{"a day that there is not", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"}},
		{"half an hour twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
	} {
		s, now := parse(t, test.expression, test.zone), at(t, test.after)
		var got []string
		for range test.want {
			now = s.Next(now)
			got = append(got, now.Format(time.RFC3339))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestNextGoesForward over every change of the clock, minute by minute, and
// agrees with Latest.
func TestNextGoesForward(t *testing.T) {
	t.Parallel()
	for _, change := range []struct{ zone, day string }{
		{"Europe/Berlin", "2026-03-29"}, {"Europe/Berlin", "2026-10-25"}, {"Australia/Lord_Howe", "2026-04-05"},
		{"Australia/Lord_Howe", "2026-10-04"}, {"America/Sao_Paulo", "2018-11-04"}, {"Pacific/Apia", "2011-12-30"},
	} {
		zone := change.zone
		s := parse(t, "*/7 * * * *", zone)
		now := at(t, change.day+"T00:00:00Z").Add(-48 * time.Hour)
		for end := now.Add(96 * time.Hour); now.Before(end); {
			next := s.Next(now)
			if !next.After(now) || next.Sub(now) > 26*time.Hour {
				t.Fatalf("%s: %v follows %v", zone, next, now)
			}
			if latest := s.Latest(now, next); !latest.Equal(next) {
				t.Fatalf("%s: the latest until %v is %v", zone, next, latest)
			}
			if latest := s.Latest(now, next.Add(-1)); !latest.IsZero() {
				t.Fatalf("%s: %v is due before %v, the next after %v", zone, latest, next, now)
			}
			now = next
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ expression, from, until, want string }{
		{"0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T02:59:59Z", ""},
		{"0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z", "2026-01-02T03:00:00Z"},
		{"0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-09T12:00:00Z", "2026-01-09T03:00:00Z"},
		{"* * * * *", "2001-01-01T00:00:00Z", "2026-01-09T12:00:30Z", "2026-01-09T12:00:00Z"},
		{"0 0 1 1 *", "2020-01-01T00:00:00Z", "2026-07-09T12:00:30Z", "2026-01-01T00:00:00Z"},
		{"* * * * *", "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z", ""},
	} {
		got := parse(t, test.expression, "").Latest(at(t, test.from), at(t, test.until))
		if want := test.want; (want == "") != got.IsZero() || want != "" && !got.Equal(at(t, want)) {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ expression, zone, words string }{
		{"", "", "empty"},
		{"0 3 * *", "", "expected exactly 5 fields"},
		{"0 0 3 * * *", "", "expected exactly 5 fields"},
		{"60 3 * * *", "", "above maximum"},
		{"*/0 * * * *", "", "step"},
		{"0 0 30 2 *", "", "never due"},
		{"@daily", "", "five fields"},
		{"TZ=", "", "five fields"},
		{"CRON_TZ=UTC 0 3 * * *", "", "five fields"},
		{"0 3 * * *", "Local", "each machine"},
		{"0 3 * * *", "Europe/Bonn", "unknown time zone"},
		{"0 3 * * *", "../../etc/passwd", "unknown time zone"},
		{strings.Repeat("0", 200) + " * * * *", "", "longer than"},
	} {
		if _, err := Parse(test.expression, test.zone); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, expression := range []string{"0 3 * * *", "*/5 1-7/2 1,2 jan-mar mon", "TZ=", "@every 1s", "1-59/99999999999999999999 * * * *", "0 0 31 2 *"} {
		f.Add(expression, "Europe/Berlin", int64(1_700_000_000))
	}
	f.Fuzz(func(t *testing.T, expression, zone string, unix int64) {
		s, err := Parse(expression, zone)
		if err != nil {
			return
		}
		now := time.Unix(unix%(1<<33), 0)
		next := s.Next(now)
		if next.IsZero() {
			return
		}
		if !next.After(now) {
			t.Fatalf("%q %q: %v follows %v", expression, zone, next, now)
		}
		if latest := s.Latest(now, next); !latest.Equal(next) {
			t.Fatalf("%q %q: the latest from %v to %v is %v", expression, zone, now, next, latest)
		}
	})
}
