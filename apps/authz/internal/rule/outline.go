package rule

import "strings"

// outline is what all targets of a pattern have in common, as far as that is seen without compiling it.
type outline struct {
	head, tail string // literal text that they begin and end with
	// segments are what stands between slashes from the beginning on, as long as it is known where the slashes are.
	segments []segmentOutline
	// whole tells that these are all.
	whole bool
}

type segmentOutline struct {
	literal bool
	text    string // "" unless literal
}

func outlineOf(parts []part, hasNoSlash func(string) bool) outline {
	out := outline{head: parts[0].text, tail: parts[len(parts)-1].text}
	current := segmentOutline{literal: true}
	for at, part := range parts {
		if part.expression {
			joined := at >= 2 && parts[at-1].text == "" // <*><*> is a ** to a glob
			if joined || !hasNoSlash(part.text) {
				return out
			}
			current = segmentOutline{}
			continue
		}
		for i, text := range strings.Split(part.text, "/") {
			if i > 0 {
				out.segments = append(out.segments, current)
				current = segmentOutline{literal: true}
			}
			if current.literal {
				current.text += text
			}
		}
	}
	out.segments, out.whole = append(out.segments, current), true
	return out
}

// excludes tells that no target has both outlines. It may overlook that, and is never wrong in saying so.
func (o outline) excludes(other outline) bool {
	if !strings.HasPrefix(o.head, other.head) && !strings.HasPrefix(other.head, o.head) ||
		!strings.HasSuffix(o.tail, other.tail) && !strings.HasSuffix(other.tail, o.tail) {
		return true
	}
	if o.whole && len(other.segments) > len(o.segments) || other.whole && len(o.segments) > len(other.segments) {
		return true
	}
	for i := range min(len(o.segments), len(other.segments)) {
		a, b := &o.segments[i], &other.segments[i]
		if a.literal && b.literal && a.text != b.text {
			return true
		}
	}
	return false
}
