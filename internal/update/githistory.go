package update

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// leftOut are parts of a checkout's .git that the new one has of its own, or that belong to a moment.
var leftOut = []string{".git/index", ".git/index.lock", ".git/HEAD", ".git/HEAD.lock", ".git/FETCH_HEAD", ".git/ORIG_HEAD", ".git/MERGE_HEAD"}

// finish makes the staged tree a checkout of the new commit, with the history and settings of the old one. All of it is
// done with files: git does not run in a repository that is going to be root's.
func (g *gitCode) finish(ctx context.Context, u *update) error {
	if u.checkout == nil {
		return nil
	}
	live, err := os.OpenRoot(u.Site.Dir)
	if err != nil {
		return err
	}
	defer live.Close()
	info, err := live.Stat(".git")
	if err != nil {
		return err
	}
	err = put(ctx, u.staging.root, func(to *tar.Writer) error {
		return copyInto(to, live, ".git", ".git", func(path string) bool { return oneOf(path, leftOut) })
	})
	if err != nil {
		return fmt.Errorf("take the history along: %w", err)
	}
	if err := g.index(ctx, u); err != nil {
		return fmt.Errorf("make the new code a checkout: %w", err)
	}
	if err := g.bring(ctx, u, info); err != nil {
		return fmt.Errorf("take the new commits along: %w", err)
	}
	return g.point(u.staging.root, info)
}

func oneOf(name string, names []string) bool {
	for _, one := range names {
		if name == one {
			return true
		}
	}
	return false
}

// index lets git note which files there are, so that `git status` finds nothing changed.
func (g *gitCode) index(ctx context.Context, u *update) error {
	if _, err := g.output(ctx, "read-tree", target); err != nil {
		return err
	}
	// Which files differ is no news: submodules are not there.
	_, _ = g.output(ctx, "--work-tree="+u.staging.path(newTree), "update-index", "-q", "--refresh")
	return nil
}

// bring copies what was fetched into the new tree.
func (g *gitCode) bring(ctx context.Context, u *update, like fs.FileInfo) error {
	keep := u.staging.keep
	return put(ctx, u.staging.root, func(to *tar.Writer) error {
		packs, err := fs.ReadDir(keep.FS(), repository+"/objects/pack")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		names := map[string]string{repository + "/index": ".git/index"}
		for _, pack := range packs {
			if as := ".git/objects/pack/" + pack.Name(); notThere(u.staging.root, as) {
				names[repository+"/objects/pack/"+pack.Name()] = as
			}
		}
		for from, as := range names {
			info, err := keep.Lstat(from)
			if err != nil {
				return err
			}
			header, err := headerOf(keep, from, as, info)
			if err != nil {
				return err
			}
			own(header, like)
			if err := to.WriteHeader(header); err != nil {
				return err
			}
			if err := copyFile(to, keep, from, info); err != nil {
				return err
			}
		}
		return nil
	})
}

func notThere(root *os.Root, name string) bool {
	_, err := root.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}

func own(header *tar.Header, like fs.FileInfo) {
	if status, ok := like.Sys().(*syscall.Stat_t); ok {
		header.Uid, header.Gid = int(status.Uid), int(status.Gid)
		if header.Mode&0o200 != 0 {
			header.Mode |= int64(status.Mode) & 0o060 // as a shared repository has it
		}
	}
}

// point makes HEAD the new commit: by its branch, or by itself for a tag.
func (g *gitCode) point(root *os.Root, like fs.FileInfo) error {
	files := map[string]string{".git/HEAD": g.commit + "\n"}
	if branch, is := strings.CutPrefix(g.ref, "refs/heads/"); is {
		files = map[string]string{
			".git/HEAD": "ref: " + g.ref + "\n", ".git/" + g.ref: g.commit + "\n", ".git/refs/remotes/origin/" + branch: g.commit + "\n",
		}
	} else {
		files[".git/"+g.ref] = g.refs[g.ref] + "\n"
	}
	for name, content := range files {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := putFile(root, name, content, 0o644, like); err != nil {
			return err
		}
	}
	return nil
}

// putFile writes a small file of the staged tree anew.
func putFile(root *os.Root, name, content string, mode fs.FileMode, like fs.FileInfo) error {
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if status, ok := like.Sys().(*syscall.Stat_t); ok && err == nil && os.Geteuid() == 0 {
		err = file.Chown(int(status.Uid), int(status.Gid))
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	return errors.Join(err, file.Close())
}
