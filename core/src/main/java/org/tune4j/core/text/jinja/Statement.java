package org.tune4j.core.text.jinja;

import java.util.List;

/** A part of a template that writes output or sets variables. */
interface Statement {
  /** How a statement ends. */
  enum End {
    NORMAL,
    BREAK,
    CONTINUE
  }

  End exec(Scope s);

  /** Returns statements as one. */
  static Statement all(List<Statement> statements) {
    Statement[] body = statements.toArray(new Statement[0]);
    return s -> {
      for (Statement statement : body) {
        s.run.step();
        End end = statement.exec(s);
        if (end != End.NORMAL) {
          return end;
        }
      }
      return End.NORMAL;
    };
  }
}
