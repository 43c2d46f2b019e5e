package restore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// keptConfig is where files of the host's configuration lie that gave way to those of the backup.
func (j *Journal) keptConfig() string { return strings.TrimSuffix(j.path, ".json") + "-config" }

// putHostConfig puts files of the host's configuration where there are none, and where it was asked for also
// in the place of other ones, which are kept. The services must find no fault with the result.
func (r *restoration) putHostConfig(ctx context.Context) error {
	if !r.has(backup.Config) {
		return nil
	}
	root, err := os.OpenRoot(r.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	put := &configPutter{restoration: r, root: root, owner: owners()}
	if err := r.eachConfigFile(ctx, put.put); err != nil {
		return err
	}
	return r.reloadConfigured(ctx, put.done)
}

type configPutter struct {
	*restoration
	root  *os.Root
	owner func(*tar.Header) (uid, gid int)
	done  []string
}

func (p *configPutter) put(header *tar.Header, content io.Reader) error {
	name := cleanName(header)
	info, err := p.root.Lstat(name)
	there := err == nil
	if there && (header.Typeflag == tar.TypeDir || !p.wantsConfig()) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if there {
		state := same
		if content, state, err = p.compareAgain(header, content); err != nil || state == same {
			return err
		}
		if err := p.keepOld(name, info); err != nil {
			return err
		}
	} else {
		p.journal.Made = append(p.journal.Made, filepath.Join(p.Root, name))
		if err := p.journal.save(); err != nil {
			return err
		}
	}
	p.done = append(p.done, "/"+name)
	uid, gid := p.owner(header)
	return writeHostFile(p.root, name, header, content, uid, gid)
}

// compareAgain compares, and gives the content back for whoever has to write it. Configuration is small.
func (p *configPutter) compareAgain(header *tar.Header, content io.Reader) (io.Reader, fileState, error) {
	kept, err := io.ReadAll(io.LimitReader(content, maxHostFile))
	if err != nil {
		return nil, "", err
	}
	state, err := compare(p.root, header, strings.NewReader(string(kept)))
	return strings.NewReader(string(kept)), state, err
}

// maxHostFile bounds one file of configuration. Archives hold no larger one that is any.
const maxHostFile = 64 << 20

// keepOld copies what gives way to the state directory, for the way back.
func (p *configPutter) keepOld(name string, info fs.FileInfo) error {
	kept := filepath.Join(p.journal.keptConfig(), name)
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	to, err := os.OpenRoot(p.journal.keptConfig())
	if err != nil {
		return err
	}
	defer to.Close()
	if info.IsDir() {
		return fmt.Errorf("/%s is a directory, and a file in the backup", name)
	}
	if err := carry(p.root, to, name); err != nil {
		return err
	}
	p.journal.Replaced = append(p.journal.Replaced, name)
	return p.journal.save()
}

// writeHostFile writes a file, link or directory of the host's configuration beside its name and renames it there.
func writeHostFile(root *os.Root, name string, header *tar.Header, content io.Reader, uid, gid int) error {
	if header.Typeflag == tar.TypeDir {
		if err := root.Mkdir(name, 0o700); err != nil {
			return err
		}
		return errors.Join(root.Lchown(name, uid, gid), root.Chmod(name, header.FileInfo().Mode().Perm()&^0o002))
	}
	temporary := path.Join(path.Dir(name), ".mxp-"+path.Base(name))
	if err := root.RemoveAll(temporary); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		if err := errors.Join(root.Symlink(header.Linkname, temporary), root.Lchown(temporary, uid, gid)); err != nil {
			return err
		}
	case tar.TypeReg:
		file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		err = errors.Join(err, file.Chown(uid, gid), file.Chmod(header.FileInfo().Mode().Perm()&^0o002), file.Sync(), file.Close())
		if err != nil {
			return errors.Join(err, root.Remove(temporary))
		}
	default:
		return nil // a second name of a file: rare in /etc, and its first name is there
	}
	return root.Rename(temporary, name)
}

// takeBackHostConfig puts back what gave way. Files that were not there before go with all that was made.
func (u *undoing) takeBackHostConfig(ctx context.Context) error {
	root, err := os.OpenRoot(u.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if len(u.journal.Replaced) > 0 {
		kept, err := os.OpenRoot(u.journal.keptConfig())
		if err != nil {
			return err
		}
		defer kept.Close()
		for _, name := range u.journal.Replaced {
			if err := carry(kept, root, name); err != nil {
				return fmt.Errorf("put /%s back: %w", name, err)
			}
		}
	}
	return nil
}

// configured are services and where their configuration lies; test is a program that finds faults in it.
var configured = []struct {
	below string
	test  []string
	unit  string
}{
	{"/etc/nginx", []string{"nginx", "-t", "-q"}, "nginx.service"},
	{"/etc/apache2", []string{"apache2ctl", "configtest"}, "apache2.service"},
	{"/etc/httpd", []string{"httpd", "-t"}, "httpd.service"},
}

// reloadConfigured lets the services whose configuration has changed say whether it is right, and then use it.
func (r *restoration) reloadConfigured(ctx context.Context, changed []string) error {
	for _, service := range configured {
		if r.Root != "/" || !slices.ContainsFunc(changed, func(path string) bool { return within(path, service.below) }) {
			continue
		}
		program, err := command.Look(service.test[0])
		if err != nil {
			r.result.Notes = append(r.result.Notes, service.unit+" is not installed, so that the configuration in "+service.below+" has no effect yet")
			continue
		}
		if err := command.Run(ctx, command.Command{Name: program, Args: service.test[1:]}); err != nil {
			return fmt.Errorf("the configuration in %s does not work on this host: %w", service.below, err)
		}
		if r.Bus == nil {
			continue
		}
		if err := r.Bus.ReloadOrRestart(ctx, service.unit); err != nil {
			return fmt.Errorf("use the configuration in %s: %w", service.below, err)
		}
	}
	if len(changed) > 0 {
		r.Logger.Info("configuration of the host was put in its place", "files", len(changed), "first", changed[0])
	}
	return nil
}
