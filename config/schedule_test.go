package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	cfg, err := Load(Options{File: write(t, `
[[workers.archive.schedule]]
cron = "0 3 * * *"
time_zone = "Europe/Berlin"
kind = "nightly"
payload = { collection = "chat_messages", keep = 10000, since = 2024-05-01, parts = [1, { a = 2.5 }] }
missed = "once"

[[workers.archive.schedule]]
cron = "*/5 * * * *"

[[workers.archive.schedule]]
name = "weekly"
cron = "0 4 * * sun"
`)})
	if err != nil {
		t.Fatal(err)
	}
	want := []Schedule{
		{Name: "nightly", Cron: "0 3 * * *", TimeZone: "Europe/Berlin", Kind: "nightly", Missed: MissedOnce,
			Payload: []byte(`{"collection":"chat_messages","keep":10000,"parts":[1,{"a":2.5}],"since":"2024-05-01"}`)},
		{Name: "archive", Cron: "*/5 * * * *", TimeZone: "UTC", Kind: "archive", Missed: MissedSkip},
		{Name: "weekly", Cron: "0 4 * * sun", TimeZone: "UTC", Kind: "archive", Missed: MissedSkip},
	}
	if got := cfg.Workers["archive"].Schedule; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	for _, e := range cfg.Effective() {
		if list, ok := e.Value.([]any); e.Key == "workers.archive.schedule" && (!ok || len(list) != 3 || !strings.HasPrefix(e.Source, "file ")) {
			t.Errorf("shown as %+v", e)
		}
	}
}

func TestSchedulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ toml, words string }{
		{`schedule = "0 3 * * *"`, "allowed: tables"},
		{`schedule = ["0 3 * * *"]`, "entry 1"},
		{`schedule = [{}]`, "cron is missing"},
		{`schedule = [{ cron = "0 3 * *" }]`, "5 fields"},
		{`schedule = [{ cron = 3 }]`, "cron is 3"},
		{`schedule = [{ cron = "0 3 * * *", time_zone = "Europe/Bonn" }]`, "unknown time zone"},
		{`schedule = [{ cron = "0 3 * * *", missed = "all" }]`, "allowed: skip, once"},
		{`schedule = [{ cron = "0 3 * * *", crom = "" }]`, "unknown key crom"},
		{`schedule = [{ cron = "0 3 * * *", payload = 7 }]`, "payload is 7"},
		{`schedule = [{ cron = "0 3 * * *", payload = { a = inf } }]`, "payload is"},
		{`schedule = [{ cron = "0 3 * * *", name = "a.b" }]`, "cannot be a name"},
		{`schedule = [{ cron = "0 3 * * *" }, { cron = "0 4 * * *" }]`, `two entries named "archive"`},
		{`schedule = [` + strings.Repeat(`{ cron = "0 3 * * *" },`, 65) + `]`, "allowed: 64"},
	} {
		_, err := Load(Options{File: write(t, "[workers.archive]\n"+test.toml+"\n")})
		if err == nil || !strings.Contains(err.Error(), "workers.archive.schedule") || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %v", test.toml, err)
		}
	}
	_, err := Load(Options{File: write(t, ""), Env: []string{"WASMHOST_WORKERS__ARCHIVE__SCHEDULE=0 3 * * *"}})
	if err == nil || !strings.Contains(err.Error(), "in the file") {
		t.Errorf("of the environment: %v", err)
	}
}

func TestSchedulesAreFollowed(t *testing.T) {
	t.Parallel()
	load := func(cron string) *Config {
		cfg, err := Load(Options{File: write(t, "[[workers.archive.schedule]]\ncron = '"+cron+"'\n")})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	const key = "workers.archive.schedule"
	if !Live(key) {
		t.Error("a running host does not follow it")
	}
	for cron, changed := range map[string]bool{"0 3 * * *": false, "0 4 * * *": true} {
		if slices.Contains(Changes(load("0 3 * * *"), load(cron)), key) != changed {
			t.Errorf("%s is no change, or is one", cron)
		}
	}
}
