package update

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// releaseTag is how Moodle names its releases; betas and release candidates have something behind.
var releaseTag = regexp.MustCompile(`^refs/tags/v([0-9]+)\.([0-9]+)(?:\.([0-9]+))?$`)

type release [3]int

func (r release) series() [2]int { return [2]int{r[0], r[1]} }

func tagged(ref string) (r release, is bool) {
	parts := releaseTag.FindStringSubmatch(ref)
	if parts == nil {
		return r, false
	}
	for i := range r {
		r[i], _ = strconv.Atoi(parts[i+1]) // "" is 0
	}
	return r, true
}

var releaseNumber = regexp.MustCompile(`^([0-9]+)\.([0-9]+)(?:\.([0-9]+))?`)

// releaseOf reads "4.5.5+ (Build: 20250613)".
func releaseOf(version moodle.Version) release {
	found, _ := tagged("refs/tags/v" + releaseNumber.FindString(version.Release))
	return found
}

// newestTag is the newest release of the series that the site has.
func newestTag(refs map[string]string, version moodle.Version) (newest string) {
	own := releaseOf(version)
	best := release{-1}
	for ref := range refs {
		if r, is := tagged(ref); is && r.series() == own.series() && slices.Compare(r[:], best[:]) > 0 {
			newest, best = ref, r
		}
	}
	return newest
}

// available are the newest release of each series that is not older than the site's, and the tip of its branch.
func (g *gitCode) available(version moodle.Version, live *checkout) (found []Available) {
	own := releaseOf(version)
	best := map[[2]int]release{}
	for ref := range g.refs {
		if r, is := tagged(ref); is && slices.Compare(r[:], own[:]) > 0 && slices.Compare(r[:], at(best, r)) > 0 {
			best[r.series()] = r
		}
	}
	for _, r := range best {
		text := fmt.Sprintf("v%d.%d.%d", r[0], r[1], r[2])
		if _, exact := g.refs["refs/tags/"+text]; !exact {
			text = strings.TrimSuffix(text, ".0")
		}
		found = append(found, Available{Component: "core", Version: text, From: "git"})
	}
	slices.SortFunc(found, func(a, b Available) int { return strings.Compare(a.Version, b.Version) })
	branch := "MOODLE_" + version.Branch + "_STABLE"
	if live != nil && live.branch != "" {
		branch = live.branch
	}
	if tip, there := g.refs["refs/heads/"+branch]; there && (live == nil || live.head != tip) {
		found = append(found, Available{Component: "core", Version: branch, Release: tip[:min(12, len(tip))], From: "git"})
	}
	return found
}

func at(best map[[2]int]release, r release) []int {
	if found, there := best[r.series()]; there {
		return found[:]
	}
	return []int{-1}
}
