package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
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

// answers are in memory and in a file, the oldest first. The service may send a message twice, also after a restart. The file is a JSON
// array of entries, in all example devices.
type answers struct {
	path    string
	mutex   sync.Mutex
	entries []entry
}

type entry struct {
	ID     string  `json:"id"`
	Until  float64 `json:"until"` // seconds since 1970
	Answer string  `json:"answer"`
	// The answer has no PUBACK, so it is sent again after the next handshake, also by the next program. The service takes it once.
	Unsent bool `json:"unsent,omitempty"`
}

// loadAnswers fails if the file cannot be read, and if it could not be written later.
func loadAnswers(path string) (*answers, error) {
	loaded := &answers{path: path}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &loaded.entries)
	}
	for _, one := range loaded.entries {
		if err == nil && (one.ID == "" || one.Answer == "") {
			err = errors.New("an entry has no id or no answer")
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s cannot be read: %w; delete it, and repeats will be done again", path, err)
	}
	file, err := os.Create(path + ".new")
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(path+".new"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w; its folder must be one in which this program may write", path, err)
	}
	return loaded, nil
}

func (a *answers) get(id string) (entry, bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, one := range a.entries {
		if one.ID == id {
			return one, true
		}
	}
	return entry{}, false
}

func (a *answers) unsent() []entry {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	var found []entry
	for _, one := range a.entries {
		if one.Unsent {
			found = append(found, one)
		}
	}
	return found
}

func (a *answers) isUnsent(id string) bool {
	found, known := a.get(id)
	return known && found.Unsent
}

func (a *answers) mark(id string, unsent bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for i := range a.entries {
		if a.entries[i].ID == id {
			a.entries[i].Unsent = unsent
		}
	}
}

func (a *answers) put(added entry) {
	a.mutex.Lock()
	var kept []entry
	for _, one := range append(a.entries, added) {
		// A clock that jumps must not take away what was not sent.
		if one.Unsent || one.Until > unixSeconds(time.Now()) {
			kept = append(kept, one)
		}
	}
	a.entries = kept[max(0, len(kept)-maxAnswers):]
	a.mutex.Unlock()
	a.save()
}

// save logs what fails. A PUBACK is written with the next answer, or at the end: until then a crash only repeats an answer.
func (a *answers) save() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if err := a.write(); err != nil {
		log.Printf("%s cannot be written: %v; after a restart a repeat would be done again", a.path, err)
	}
}

func (a *answers) write() error {
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
func rememberUntil(request message) float64 {
	life := longestLife
	sent, errSent := time.Parse(time.RFC3339, request.Sent)
	expires, errExpires := time.Parse(time.RFC3339, request.Expires)
	if errSent == nil && errExpires == nil {
		life = max(0, expires.Sub(sent))
	}
	return unixSeconds(time.Now().Add(life + rememberFor))
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
