package org.tune4j.core.text.jinja;

import java.util.List;

/** Evaluates chains of operands with operators between them. */
interface Combination {
  Object eval(Scope s, Expression first, List<Token> operators, List<Expression> others);

  /** {@code a or b or c}, whose value is the first that is true, or the last. */
  static Object or(Scope s, Expression first, List<Token> operators, List<Expression> others) {
    Object v = first.eval(s);
    for (int i = 0; i < others.size() && !Values.truth(v); i++) {
      v = others.get(i).eval(s);
    }
    return v;
  }

  /** {@code a and b and c}, whose value is the first that is false, or the last. */
  static Object and(Scope s, Expression first, List<Token> operators, List<Expression> others) {
    Object v = first.eval(s);
    for (int i = 0; i < others.size() && Values.truth(v); i++) {
      v = others.get(i).eval(s);
    }
    return v;
  }

  /** {@code a < b <= c}. */
  static Object compare(Scope s, Expression first, List<Token> operators, List<Expression> others) {
    Object left = first.eval(s);
    for (int i = 0; i < others.size(); i++) {
      Object right = others.get(i).eval(s);
      s.run.at = operators.get(i);
      if (!Operators.compare(operators.get(i).text(), left, right)) {
        return false;
      }
      left = right;
    }
    return true;
  }

  /** {@code a ~ b ~ c}. */
  static Object join(Scope s, Expression first, List<Token> operators, List<Expression> others) {
    StringBuilder out = new StringBuilder(Printing.str(first.eval(s)));
    for (Expression other : others) {
      out.append(Printing.str(other.eval(s)));
      s.run.at = operators.get(0);
      s.run.checkSize(out.length());
    }
    s.run.made(out.length());
    return out.toString();
  }

  /** {@code a + b - c}. */
  static Object compute(Scope s, Expression first, List<Token> operators, List<Expression> others) {
    Object v = first.eval(s);
    for (int i = 0; i < others.size(); i++) {
      Object other = others.get(i).eval(s);
      s.run.at = operators.get(i);
      v = Operators.binary(operators.get(i).text(), v, other);
    }
    return v;
  }
}
