package restore

import (
	"archive/tar"
	"os/user"
	"strconv"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// owners maps the owners of a component. What everybody could write to belongs to the site's user, who goes on writing to
// it when everybody may not: a dataroot of root's with mode 0777 is common.
func (r *restoration) owners(component string) func(*tar.Header) (uid, gid int) {
	known := owners()
	return func(header *tar.Header) (uid, gid int) {
		uid, gid = known(header)
		if component == backup.Files && header.Mode&worldWritable != 0 && header.Typeflag != tar.TypeSymlink {
			uid = int(r.target.user.UID)
		}
		header.Mode &^= worldWritable
		return uid, gid
	}
}

// worldWritable is the mode bit that nothing of a site needs.
const worldWritable = 0o002

// owners maps the owners that an archive names to those of this host: by name, for www-data may have another
// number here, and by number where this host does not know the name.
func owners() func(*tar.Header) (uid, gid int) {
	type id struct{ name, number string }
	users, groups := map[id]int{}, map[id]int{}
	find := func(known map[id]int, name string, number int, look func(string) (string, error)) int {
		key := id{name, strconv.Itoa(number)}
		found, seen := known[key]
		if !seen {
			found = number
			if text, err := look(name); name != "" && err == nil {
				if there, err := strconv.Atoi(text); err == nil {
					found = there
				}
			}
			known[key] = found
		}
		return found
	}
	return func(header *tar.Header) (uid, gid int) {
		uid = find(users, header.Uname, header.Uid, func(name string) (string, error) {
			found, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return found.Uid, nil
		})
		gid = find(groups, header.Gname, header.Gid, func(name string) (string, error) {
			found, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return found.Gid, nil
		})
		return uid, gid
	}
}
