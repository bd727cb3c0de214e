package rule

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"slices"
)

// automaton is a regular expression as a deterministic automaton over the bytes of a target. Its states are made
// when they are first reached. It is for one goroutine.
//
// A state is what Go's own engine would hold between two characters: the instructions that are reached, and what
// the last character was, which \b asks. What follows from assertions waits for the next character.
type automaton struct {
	prog  *syntax.Prog
	class [maxByte + 1]uint8 // bytes that no instruction tells apart have the same
	byOf  []byte             // one byte of each class

	numbers map[string]int32 // of states, by what they are
	states  []automatonState
	steps   *int // counts down what is done to make them
}

type automatonState struct {
	reached []uint32 // instructions, sorted
	last    rune     // -1 at the beginning, else a character that asserts what the real one does
	next    []int32  // by class
	accepts int8     // 1 yes, -1 no, 0 not asked yet
}

const (
	// Targets are printable ASCII; see envoy.Parse, which refuses everything else.
	minByte, maxByte = '!', '~'

	dead    int32 = -1 // no continuation matches
	unknown int32 = -2
)

func newAutomaton(expression string, steps *int) (*automaton, error) {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	a := &automaton{prog: prog, numbers: map[string]int32{}, steps: steps}
	*steps -= len(prog.Inst)
	a.classify()
	a.number([]uint32{uint32(prog.Start)}, -1) // #nosec G115 -- an index of instructions
	return a, nil
}

// classify puts bytes together that every instruction takes alike. It asks each kind of instruction once.
func (a *automaton) classify() {
	var kinds []*syntax.Inst
	seen := map[string]bool{}
	for i := range a.prog.Inst {
		inst := &a.prog.Inst[i]
		switch inst.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		default:
			continue
		}
		if key := fmt.Sprint(inst.Op, inst.Arg, inst.Rune); !seen[key] {
			seen[key] = true
			kinds = append(kinds, inst)
		}
	}
	classes := map[string]uint8{}
	for b := rune(minByte); b <= maxByte; b++ {
		taken := make([]byte, 0, len(kinds)+1)
		taken = append(taken, bit(syntax.IsWordChar(b)))
		for _, inst := range kinds {
			taken = append(taken, bit(inst.MatchRune(b)))
		}
		class, known := classes[string(taken)]
		if !known {
			class = uint8(len(a.byOf)) // #nosec G115 -- there are 94 bytes
			classes[string(taken)] = class
			a.byOf = append(a.byOf, byte(b)) // #nosec G115 -- ASCII
		}
		a.class[b] = class
	}
}

func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// number returns the state's number.
func (a *automaton) number(reached []uint32, last rune) int32 {
	if len(reached) == 0 {
		return dead
	}
	var key []byte
	key = binary.AppendVarint(key, int64(last))
	for _, pc := range reached {
		key = binary.AppendUvarint(key, uint64(pc))
	}
	if n, known := a.numbers[string(key)]; known {
		return n
	}
	n := int32(len(a.states)) // #nosec G115 -- bounded by the steps that a search may take
	a.numbers[string(key)] = n
	*a.steps -= 16 + len(a.byOf) // so that the bound of steps is one of memory too
	next := make([]int32, len(a.byOf))
	for i := range next {
		next[i] = unknown
	}
	a.states = append(a.states, automatonState{reached: reached, last: last, next: next})
	return n
}

// step returns the state after a byte of that class.
func (a *automaton) step(state int32, class uint8) int32 {
	if next := a.states[state].next[class]; next != unknown {
		return next
	}
	from := a.states[state]
	b := rune(a.byOf[class])
	var reached []uint32
	a.follow(from, b, func(inst *syntax.Inst) {
		switch inst.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if inst.MatchRune(b) {
				reached = append(reached, inst.Out)
			}
		}
	})
	slices.Sort(reached)
	last := ' '
	if syntax.IsWordChar(b) {
		last = 'a'
	}
	next := a.number(slices.Compact(reached), last)
	a.states[state].next[class] = next
	return next
}

// accepting tells whether the text may end here.
func (a *automaton) accepting(state int32) bool {
	if known := a.states[state].accepts; known != 0 {
		return known > 0
	}
	a.states[state].accepts = -1
	a.follow(a.states[state], -1, func(inst *syntax.Inst) {
		if inst.Op == syntax.InstMatch {
			a.states[state].accepts = 1
		}
	})
	return a.states[state].accepts > 0
}

// follow visits every instruction that is reached without a character when next comes, -1 being the end.
func (a *automaton) follow(from automatonState, next rune, visit func(*syntax.Inst)) {
	holds := syntax.EmptyOpContext(from.last, next)
	seen := make([]bool, len(a.prog.Inst))
	stack := slices.Clone(from.reached)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		*a.steps--
		inst := &a.prog.Inst[pc]
		switch inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^holds == 0 { // #nosec G115 -- made of an EmptyOp
				stack = append(stack, inst.Out)
			}
		default:
			visit(inst)
		}
	}
}

// requestable is the form of every target that can reach a rule: envoy.Parse refuses what has another.
const requestable = `\Ahttps?://[a-z0-9.\-_:\[\]]+/(?:` + segment + `(?:/` + segment + `)*/?)?\z`

const (
	hex          = `[0-9A-Fa-f]`
	continuation = `%[89ABab]` + hex
	// escape is of what must be escaped: ASCII that is neither unreserved nor one of . / \, and UTF-8.
	escape = `%(?:2[0-9A-Ca-c]|3[A-Fa-f]|40|5[BDEbde]|60|7[B-Db-d]` +
		`|(?:[Cc][2-9A-Fa-f]|[Dd]` + hex + `)` + continuation +
		`|[Ee](?:0%[ABab]` + hex + `|[1-9A-Ca-cEFef]` + continuation + `|[Dd]%[89]` + hex + `)` + continuation +
		`|[Ff](?:0%[9ABab]` + hex + `|[1-3]` + continuation + `|4%8` + hex + `)` + continuation + continuation + `)`
	notDot    = `(?:[!"$&'()*+,\-0-9:<=>@A-Z\[\]^_\x60a-z{|}~]|` + escape + `)`
	character = `(?:\.|` + notDot + `)`
	// segment is neither "." nor "..".
	segment = `(?:` + notDot + character + `*|\.` + notDot + character + `*|\.\.` + character + `+)`
)
