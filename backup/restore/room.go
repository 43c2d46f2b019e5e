package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
)

// planFiles looks at the places of code and data, and at the room there.
func (o *Options) planFiles(ctx context.Context, p *Plan) error {
	rooms := p.rooms
	m, t := p.Backup, p.target
	if p.has(backup.Code) {
		o.planTree(p, rooms, "code", t.code, m.Size(backup.Code))
	}
	if p.has(backup.Files) {
		archive, _ := m.File(backup.FileOf(backup.Files))
		o.planTree(p, rooms, "data", t.dataroot, archive.ContentSize)
		if err := o.planContent(ctx, p, rooms); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) planTree(p *Plan, rooms rooms, what, live string, size int64) {
	place, err := tree.Survey(live)
	if err != nil {
		p.problem("", "the %s at %s cannot be exchanged: %v", what, live, err)
		return
	}
	how := map[tree.Way]string{
		tree.ByRename: "by renaming the directory", tree.ByEntries: "by renaming what is in it, for the directory itself cannot be renamed",
		tree.ByLink: "by making the link lead to it",
	}[place.Way]
	if what == "data" {
		how = "by renaming what is in it; the directory itself and the content files in it stay"
		place.Stage = live
	}
	p.step("unpack the %s (%s) beside %s, and later put it in its place %s", what, backup.Bytes(size), live, how)
	rooms.need(p, place.Stage, size)
}

// planContent finds out which content files the live site lacks.
func (o *Options) planContent(ctx context.Context, p *Plan, rooms rooms) error {
	f := p.Backup.Filedir
	if f == nil {
		return nil
	}
	lacking, bytes := f.Blobs, f.Size
	if live, err := os.OpenRoot(p.target.filedir); err == nil {
		found, err := tree.Fill(ctx, live, tree.FillOptions{
			Blobs: o.blobs(ctx), LocalPath: o.blobPath, TrustLive: true, DryRun: true,
			Lost: func(tree.Blob, error) error { return nil },
		})
		_ = live.Close()
		if err != nil {
			return err
		}
		lacking, bytes = found.Added+found.Repaired+found.Lost, found.Bytes
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	how := "each of those that are there is read, and put right if it is damaged"
	if o.TrustLive {
		how = "those that are there are believed by name and size"
	}
	p.step("add %d of %d content files (%s) to %s; %s; none is removed", lacking, f.Blobs, backup.Bytes(bytes), p.target.filedir, how)
	if f.Missing > 0 {
		p.note("%d content files were missing from the site already when the backup was made", f.Missing)
	}
	rooms.need(p, p.target.filedir, bytes)
	return nil
}

// rooms is how much each file system must take.
type rooms map[uint64]*room

type room struct {
	at    string
	need  int64
	space tree.Space
}

func (r rooms) need(p *Plan, path string, bytes int64) {
	space, err := tree.SpaceAt(path)
	if err != nil {
		p.problem("", "nobody can tell how much room there is in %s: %v", path, err)
		return
	}
	if space.ReadOnly {
		p.problem("mount -o remount,rw the file system of "+path, "%s is on a file system that is read-only", path)
	}
	if r[space.Device] == nil {
		r[space.Device] = &room{at: path, space: space}
	}
	r[space.Device].need += bytes
}

// keptFree is the share of a disk that a restore leaves free, as a backup does.
const keptFree = 10 // percent

func (r rooms) check(p *Plan) {
	for _, room := range r {
		usable := max(0, room.space.Free-room.space.Total/100*keptFree)
		if room.need > usable {
			p.problem("make room there, or let an earlier restore's old site go with `moodle-exporter restore --discard`",
				"the disk of %s has too little room: %s are needed for the new parts beside the old ones, and %s may be used (%d %% are kept free)",
				room.at, backup.Bytes(room.need), backup.Bytes(usable), keptFree)
		}
	}
}

// blobs yields the content files of the backup.
func (o *Options) blobs(ctx context.Context) func(func(tree.Blob) error) error {
	return func(yield func(tree.Blob) error) error {
		return o.Reader.Blobs(ctx, func(b backup.Blob) error { return yield(tree.Blob(b)) })
	}
}

func (o *Options) blobPath(b tree.Blob) string {
	path := o.Reader.BlobPath(backup.Blob(b))
	if path == "" {
		return ""
	}
	return filepath.Clean(path)
}
