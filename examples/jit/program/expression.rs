//! Expressions over `x` and `y`: the parser, and the interpreter that the machine code is compared with.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = factor { "*" factor }
//! factor  = "-" factor | "(" sum ")" | "x" | "y" | number
//! ```
//!
//! An expression is kept as its postfix form, so whoever runs or compiles it needs a loop and no recursion.
//!
//! # Invariant
//! * **E1** Run from left to right on an empty stack, every step finds its operands, and one value is left. Each level
//!   of nesting keeps at most the left operands of a sum and a product on the stack meanwhile.

/// How deep parentheses and signs may nest. The parser recurses that deep, and the stack of compiled code is proportional.
const MAX_NESTING: usize = 500;

/// A step of the postfix form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Push(Leaf),
    Negate,
    Apply(Operator),
}

/// A value that is there without a computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    X,
    Y,
    Number(i64),
}

/// An operation on two values; all wrap around at 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
}

/// A whole expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression(Vec<Step>);

impl Expression {
    /// Reads an expression, or says what is wrong with it and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0, nesting: 0, steps: Vec::new() };
        parser.sum()?;
        match parser.peek() {
            None => Ok(Self(parser.steps)),
            Some(_) => Err(parser.complaint("an operator")),
        }
    }

    /// The steps from left to right.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The expression with the opposite sign.
    pub(crate) fn negated(&self) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Negate);
        Self(steps)
    }

    /// The value, by interpreting the steps. The stack is the caller's, so that it is allocated once for many values.
    pub(crate) fn interpret(&self, x: i64, y: i64, stack: &mut Vec<i64>) -> i64 {
        const LEFT: &str = "an operand, by E1";
        stack.clear();
        for &step in &self.0 {
            let value = match step {
                Step::Push(Leaf::X) => x,
                Step::Push(Leaf::Y) => y,
                Step::Push(Leaf::Number(number)) => number,
                Step::Negate => stack.pop().expect(LEFT).wrapping_neg(),
                Step::Apply(operator) => {
                    let right = stack.pop().expect(LEFT);
                    let left = stack.pop().expect(LEFT);
                    match operator {
                        Operator::Add => left.wrapping_add(right),
                        Operator::Subtract => left.wrapping_sub(right),
                        Operator::Multiply => left.wrapping_mul(right),
                    }
                }
            };
            stack.push(value);
        }
        stack.pop().expect(LEFT)
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Everything before this byte has been read.
    at: usize,
    nesting: usize,
    steps: Vec<Step>,
}

impl Parser<'_> {
    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at = self.text.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn complaint(&mut self, wanted: &str) -> String {
        match self.peek() {
            Some(found) => format!("{wanted} is expected before {found:?}, at byte {} of {:?}", self.at, self.text),
            None => format!("{wanted} is expected at the end of {:?}", self.text),
        }
    }

    fn sum(&mut self) -> Result<(), String> {
        self.product()?;
        loop {
            let operator = if self.take('+') {
                Operator::Add
            } else if self.take('-') {
                Operator::Subtract
            } else {
                return Ok(());
            };
            self.product()?;
            self.steps.push(Step::Apply(operator));
        }
    }

    fn product(&mut self) -> Result<(), String> {
        self.factor()?;
        while self.take('*') {
            self.factor()?;
            self.steps.push(Step::Apply(Operator::Multiply));
        }
        Ok(())
    }

    fn factor(&mut self) -> Result<(), String> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("more than {MAX_NESTING} parentheses and signs nest"));
        }
        if self.take('-') {
            self.factor()?;
            self.steps.push(Step::Negate);
        } else if self.take('(') {
            self.sum()?;
            if !self.take(')') {
                return Err(self.complaint("an operator or \")\""));
            }
        } else {
            let leaf = self.leaf()?;
            self.steps.push(Step::Push(leaf));
        }
        self.nesting -= 1;
        Ok(())
    }

    fn leaf(&mut self) -> Result<Leaf, String> {
        if self.take('x') {
            return Ok(Leaf::X);
        }
        if self.take('y') {
            return Ok(Leaf::Y);
        }
        if !self.peek().is_some_and(|next| next.is_ascii_digit()) {
            return Err(self.complaint("x, y, a number, \"-\" or \"(\""));
        }
        let rest = &self.text[self.at..];
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        self.at += digits.len();
        digits.parse().map(Leaf::Number).map_err(|_| format!("{digits} is more than {}", i64::MAX))
    }
}
