package reattach

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// whenBounds walks an expression, refuses what could cost more than the
// expression is long, and notes the attributes in it.
type whenBounds struct {
	at      file.Location
	refused string
	members []whenMember
}

// Visit is of ast.Visitor.
func (b *whenBounds) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BuiltinNode: // some are loops, which the compiler admits
		if !slices.Contains(whenFunctions, n.Name) {
			b.refuse(n, "no function "+n.Name+", want one of "+strings.Join(whenFunctions, ", "))
		}
	case *ast.IdentifierNode:
		if n.Value == "$env" { // its types are checked by nobody
			b.refuse(n, "$env is not supported, want candidate or previous")
		}
	case *ast.VariableDeclaratorNode: // each could be twice as long as the one before
		b.refuse(n, "let is not supported, want the value itself")
	case *ast.BinaryNode:
		if n.Operator == ".." || n.Operator == "**" || n.Operator == "^" {
			b.refuse(n, n.Operator+" is not supported, want a comparison")
		}
	case *ast.SequenceNode:
		b.refuse(n, "several expressions, want one")
	case *ast.PredicateNode:
		if inner := (&loopFinder{}); inner.findIn(n.Node) {
			b.refuse(inner.found, "a loop in a loop, want one only")
		}
	case *ast.MemberNode:
		of, isName := n.Node.(*ast.IdentifierNode)
		attribute, isText := n.Property.(*ast.StringNode)
		if isName && isText {
			b.note(whenMember{of.Value, attribute.Value})
		}
	}
}

func (b *whenBounds) refuse(n ast.Node, message string) {
	if b.refused == "" {
		b.at, b.refused = n.Location(), message
	}
}

func (b *whenBounds) note(m whenMember) {
	if !slices.Contains(b.members, m) {
		b.members = append(b.members, m)
	}
}

// loopFinder finds a loop: whatever takes a predicate.
type loopFinder struct{ found ast.Node }

func (l *loopFinder) findIn(n ast.Node) bool {
	ast.Walk(&n, l)
	return l.found != nil
}

// Visit is of ast.Visitor.
func (l *loopFinder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.PredicateNode); ok && l.found == nil {
		l.found = n
	}
}
