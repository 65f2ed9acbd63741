package main

import (
	"encoding/json"
	"errors"
	"os"
	"time"
)

const (
	// "message": an answer is remembered until its message has expired, and so much longer.
	rememberFor = 10 * time.Minute
	// How long a message of release 0.1.0 may live, which does not say when it expires.
	longestLife = 30 * 24 * time.Hour
	// With more answers than this, the device forgets the oldest.
	maxAnswers = 1000
)

// answers are in memory and in a file, the oldest first. The service may send a message twice, also after a restart.
type answers struct {
	path    string
	entries []entry
}

type entry struct {
	ID     string    `json:"id"`
	Until  time.Time `json:"until"`
	Answer string    `json:"answer"`
}

func loadAnswers(path string) (*answers, error) {
	loaded := &answers{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return loaded, nil
	}
	if err != nil {
		return nil, err
	}
	return loaded, json.Unmarshal(text, &loaded.entries)
}

func (a *answers) get(id string) (string, bool) {
	for _, one := range a.entries {
		if one.ID == id {
			return one.Answer, true
		}
	}
	return "", false
}

func (a *answers) put(added entry) error {
	var kept []entry
	for _, one := range append(a.entries, added) {
		if one.Until.After(time.Now()) {
			kept = append(kept, one)
		}
	}
	a.entries = kept[max(0, len(kept)-maxAnswers):]
	// Another file first: a crash leaves the old one or the new one.
	file, err := os.Create(a.path + ".new")
	if err != nil {
		return err
	}
	_, err = file.Write(mustJSON(a.entries))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(a.path+".new", a.path)
}

// rememberUntil counts from the arrival of the message, so that the clock of the device may be wrong.
func rememberUntil(request message) time.Time {
	life := longestLife
	sent, errSent := time.Parse(time.RFC3339, request.Sent)
	expires, errExpires := time.Parse(time.RFC3339, request.Expires)
	if errSent == nil && errExpires == nil {
		life = max(0, expires.Sub(sent))
	}
	return time.Now().Add(life + rememberFor)
}
