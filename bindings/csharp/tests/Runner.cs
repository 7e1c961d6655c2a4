using System;
using System.IO;
using System.Linq;
using System.Reflection;

/// <summary>A method that the runner calls.</summary>
[AttributeUsage(AttributeTargets.Method)]
class TestAttribute : Attribute {}

/// <summary>Runner SCENE [NAME]: runs every test, or the one of that name, each with a fresh folder. SCENE is what tests/bindings/scene.sh made.</summary>
static class Runner {
  internal static string Scene;
  internal static string Folder; // of the test that runs

  static int Main(string[] arguments) {
    Scene = Path.Combine(arguments[0], "data");
    string only = arguments.Length > 1 ? arguments[1] : null;
    int passed = 0, failed = 0;
    var tests = typeof(Runner).Assembly.GetTypes().SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.NonPublic))
        .Where(method => method.GetCustomAttributes(typeof(TestAttribute), false).Length > 0 && (only == null || method.Name == only));
    foreach (MethodInfo test in tests) {
      Folder = Path.Combine(Path.GetTempPath(), "autoround-" + Guid.NewGuid().ToString("N"));
      Directory.CreateDirectory(Folder);
      try {
        test.Invoke(null, null);
        passed++;
      } catch (TargetInvocationException thrown) {
        failed++;
        Console.WriteLine("FAILED " + test.DeclaringType.Name + "." + test.Name + ": " + thrown.InnerException);
      } finally {
        Directory.Delete(Folder, true);
      }
    }
    Console.WriteLine("C#: " + passed + " tests passed, " + failed + " failed");
    return failed == 0 && passed > 0 ? 0 : 1;
  }
}

static class Check {
  internal static void That(bool condition, string what) {
    if (!condition) throw new InvalidOperationException(what);
  }

  internal static void Equal<T>(T expected, T actual) {
    That(Equals(expected, actual), "expected " + expected + ", got " + actual);
  }

  internal static void Contains(string part, string text) {
    That(text.Contains(part), "\"" + part + "\" is not in: " + text);
  }

  internal static E Throws<E>(Action call) where E : Exception {
    try {
      call();
    } catch (E thrown) {
      return thrown;
    }
    throw new InvalidOperationException("no " + typeof(E).Name);
  }

  internal static LibAutoRound.AutoRoundException Fails(LibAutoRound.ErrorCode code, Action call) {
    var failure = Throws<LibAutoRound.AutoRoundException>(call);
    Equal(code, failure.Code);
    return failure;
  }
}
