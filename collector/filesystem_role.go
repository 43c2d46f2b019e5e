package collector

import (
	"path/filepath"
	"sync"
)

// Role says what a path is used for: root, moodledata, code, database, backup or tmp.
type Role struct{ Name, Path string }

// roles finds the mounts that the roles' paths lie on. It never touches a path of its own accord but once, in the
// background, to follow its links: on a hung mount that look does not come back, and the path as written has to do.
type roles struct {
	list  []Role
	start sync.Once
	known chan struct{}

	mu       sync.Mutex
	resolved []string
}

func newRoles(list []Role) *roles {
	r := &roles{list: list, known: make(chan struct{}), resolved: make([]string, len(list))}
	for i, role := range list {
		r.resolved[i] = filepath.Clean(role.Path)
	}
	return r
}

// look starts the look at the links, once, and waits for it until enough is closed; not at all the next time.
func (r *roles) look(enough <-chan struct{}) {
	r.start.Do(func() {
		var all sync.WaitGroup
		for i, role := range r.list {
			all.Go(func() {
				path := followLinks(filepath.Clean(role.Path))
				r.mu.Lock()
				defer r.mu.Unlock()
				r.resolved[i] = path
			})
		}
		go func() {
			all.Wait()
			close(r.known)
		}()
		select {
		case <-r.known:
		case <-enough:
		}
	})
}

// followLinks resolves the links of as much of path as can be seen: what lies below a directory that is not there yet,
// or closed to this user, stays as written.
func followLinks(path string) string {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		return resolved
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	return filepath.Join(followLinks(dir), filepath.Base(path))
}

// byMount gives the names of the roles on each mount point: that with the longest path above the role's.
func (r *roles) byMount(mounts []mount) map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	on := map[string][]string{}
	for i, role := range r.list {
		longest, found := "", false
		for _, m := range mounts {
			if within(r.resolved[i], m.point) && (!found || len(m.point) > len(longest)) {
				longest, found = m.point, true
			}
		}
		if found {
			on[longest] = append(on[longest], role.Name)
		}
	}
	return on
}
