using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;

namespace LibAutoRound.Internal {
  /// <summary>
  /// Loads libautoround_csharp.so before the first call into it, from beside this assembly, from runtimes/linux-x64/native there (where a
  /// package keeps it), or from where the system's loader looks. The runtime's own search, which comes next, then meets it by its name.
  /// LibTorch is found by libautoround itself, or taken from the folder that AUTOROUND_TORCH_DIR names.
  /// </summary>
  internal static class NativeLoader {
    private const string Library = "libautoround_csharp.so";
    private const int Now = 0x2; // RTLD_NOW, and local: nobody else in the process is to meet these symbols

    [DllImport("libdl.so.2")]
    private static extern IntPtr dlopen([MarshalAs(UnmanagedType.LPArray)] byte[] path, int flags);

    [DllImport("libdl.so.2")]
    private static extern IntPtr dlerror();

    /// <exception cref="DllNotFoundException">Says where it was looked for and what was missing there.</exception>
    internal static void Load() {
      var tried = new List<string>();
      string torch = Environment.GetEnvironmentVariable("AUTOROUND_TORCH_DIR");
      bool found = string.IsNullOrEmpty(torch) || LoadTorch(torch, tried);
      if (found && LoadFirst(tried)) return;
      throw new DllNotFoundException("libautoround cannot be loaded:\n  " + string.Join("\n  ", tried) + "\n" + Advice(string.Join(" ", tried)));
    }

    private static bool LoadTorch(string directory, List<string> tried) {
      string below = Path.Combine(directory, "lib");
      if (File.Exists(Path.Combine(below, "libc10.so"))) directory = below; // as when the library is built, the folder above lib/ will do
      // Once these are in the process, libautoround's need of them by name is met.
      return Open(Path.Combine(directory, "libc10.so"), tried) && Open(Path.Combine(directory, "libtorch_cpu.so"), tried);
    }

    private static bool LoadFirst(List<string> tried) {
      foreach (string folder in new[] { Path.GetDirectoryName(typeof(NativeLoader).Assembly.Location), AppDomain.CurrentDomain.BaseDirectory }) {
        if (string.IsNullOrEmpty(folder)) continue; // an assembly inside a single file has no place of its own
        foreach (string place in new[] { Path.Combine(folder, Library), Path.Combine(folder, "runtimes", "linux-x64", "native", Library) }) {
          if (!File.Exists(place)) tried.Add("there is no " + place);
          else if (Open(place, tried)) return true;
        }
      }
      return Open(Library, tried);
    }

    private static bool Open(string path, List<string> tried) {
      dlerror(); // CoreCLR binds it at the first call, by a dlopen and dlsym of its own, which would clear what ours has left
      if (dlopen(System.Text.Encoding.UTF8.GetBytes(path + "\0"), Now) != IntPtr.Zero) return true;
      tried.Add(Utf8.ReadToNul(dlerror()));
      return false;
    }

    private static string Advice(string tried) {
      if (tried.Contains("libtorch") || tried.Contains("libc10")) {
        return "LibTorch 2.11 is missing: set AUTOROUND_TORCH_DIR to the folder that holds libtorch_cpu.so (site-packages/torch/lib of the torch wheel).";
      }
      return "The package AutoRound holds " + Library + " for linux-x64, or put its folder into LD_LIBRARY_PATH.";
    }
  }
}
